// Everything that the module's types offer, as an app would use it. The compiler is the test.
import { ChannelError, Client, Subscription } from "./narthex.js";
import type { ClientOptions, Message, Position, Subscribed } from "./narthex.js";

interface Line {
  text: string;
}

const options: ClientOptions = {
  events: "/events",
  timeout: 5_000,
  minDelay: 100,
  maxDelay: 10_000,
  spread: 1_000,
  openTimeout: 2_000,
  fallbackAfter: 1,
  reconnect: (code) => code !== 4001,
};

const client = new Client(new URL("/hub", "https://example.org"), options);
const state: "connecting" | "open" | "waiting" | "closed" = client.state;
const numbers: number = client.buffered;
const perhaps: (string | null)[] = [client.peer, client.transport];

client.addEventListener("open", (event) => console.log(event.detail.peer, event.detail.transport === "websocket"));
client.addEventListener("close", ({ detail }) => console.log(detail.code, detail.reason, detail.delay ?? "for good"));
client.addEventListener("error", ({ detail }) => console.log(detail instanceof ChannelError, detail.code, detail.message));
client.addEventListener("message", ({ detail }) => console.log(detail.channel, detail.data, detail.from));

const room: Subscription = client.subscribe<Line>(
  "room",
  (line, message: Message<Line>) => console.log(line.text.length, message.offset, message.epoch),
  { last: 10, since: { epoch: "e", offset: 1 }, presence: true },
);
room.addEventListener("subscribed", ({ detail }: CustomEvent<Subscribed>) => {
  const reason: "epoch" | "trimmed" | "no-history" | undefined = detail.reason;
  console.log(detail.channel, detail.recovered, reason, detail.replayed);
});
room.addEventListener("joined", ({ detail }) => console.log(detail.channel, detail.peer, detail.info));
room.addEventListener("left", ({ detail }) => console.log(detail.channel, detail.peer));
const refused = ({ detail }: CustomEvent<ChannelError>) => console.log(detail.code);
room.addEventListener("error", refused, { once: true });
room.removeEventListener("error", refused);

async function everything(): Promise<void> {
  const position: Partial<Position> = await room.publish({ text: "hello" });
  await client.publish("room", [position.epoch, position.offset]);
  const sum: number = await client.request<number>("sum", [1, 2], { timeout: 1_000 });
  client.handle("name", (data) => `${data} ${sum}`);
  const names: Map<string, unknown> = await room.presence();
  console.log(room.channel, room.position?.offset, room.members.size, names, state, numbers, perhaps);
  room.unsubscribe();
  client.close(1000, "done");
}

void everything();

// What is wrong is seen before it runs.
// @ts-expect-error
client.subscribe(1);
// @ts-expect-error
client.state = "open";
// @ts-expect-error
new Client();
// @ts-expect-error
new Client("/hub", { timeOut: 1 });
// @ts-expect-error
client.addEventListener("open", (event: CustomEvent<{ code: number }>) => console.log(event));
// @ts-expect-error
new Subscription();
