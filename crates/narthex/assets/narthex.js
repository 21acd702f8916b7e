// The channel protocol of Narthex (narthex.channels.v1) for browsers: channels, requests both ways, and a connection that comes back.
// No dependencies. docs/channels.md describes the protocol, narthex.d.ts the types.

const PROTOCOL = "narthex.channels.v1";

const DEFAULTS = {
  events: null,
  timeout: 10_000,
  minDelay: 500,
  maxDelay: 30_000,
  spread: 10_000,
  openTimeout: 10_000,
  fallbackAfter: 2,
  reconnect: (code) => code !== 1008 && code < 4000,
};

/** Something that was asked for was not done. `code` is for programs. */
export class ChannelError extends Error {
  constructor(code, text) {
    super(text);
    this.name = "ChannelError";
    this.code = code;
  }
}

/** A connection to a hub. It opens at once, and again whenever it is lost, until `close`. */
export class Client extends EventTarget {
  #url;
  #options;
  #state = "connecting";
  #transport = null;
  #peer = null;
  #attempts = 0;
  #failures = 0;
  #timer = null;
  #lastId = 0;
  #subscriptions = new Map();
  #pending = new Map();
  #handlers = new Map();

  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = { ...DEFAULTS, WebSocket: globalThis.WebSocket, EventSource: globalThis.EventSource, ...options };
    // Who has been offline need not wait until the next attempt is due.
    globalThis.addEventListener?.("online", this.#online);
    globalThis.addEventListener?.("pagehide", this.#hidden);
    globalThis.addEventListener?.("pageshow", this.#online);
    this.#open();
  }

  /** "connecting", "open", "waiting" (for the next attempt) or "closed". */
  get state() {
    return this.#state;
  }

  /** This connection's id, while it is open. Others see it in `from` and in lists of who is there. */
  get peer() {
    return this.#peer;
  }

  /** "websocket", or "events": then nothing can be published or asked. */
  get transport() {
    return this.#transport?.kind ?? null;
  }

  /** Bytes that wait to be sent. */
  get buffered() {
    return this.#transport?.socket.bufferedAmount ?? 0;
  }

  /** Calls `callback(data, message)` for each message of a channel, from now on or from where it was before the connection was lost. */
  subscribe(channel, callback = () => {}, options = {}) {
    if (this.#subscriptions.has(channel)) throw new ChannelError("already-subscribed", `there is a subscription to ${channel}`);
    const subscription = new Subscription(this, channel, callback, options);
    this.#subscriptions.set(channel, subscription);
    if (this.#state === "open") this.#enter(subscription);
    return subscription;
  }

  /** Says something on a channel. Waits for the connection if it must. Gives where the message stands, if the channel keeps a history. */
  publish(channel, data) {
    return this.#ask({ op: "publish", channel, data: data === undefined ? null : data });
  }

  /** Asks the server. */
  async request(name, data = null, { timeout } = {}) {
    return (await this.#ask({ op: "request", name, data }, timeout)).data;
  }

  /** Answers what the server asks by this name. */
  handle(name, handler) {
    this.#handlers.set(name, handler);
  }

  /** Closes the connection for good. */
  close(code = 1000, reason = "") {
    this.#end({ code, reason });
    this.#drop((transport) => transport.socket.close(code, reason));
  }

  /** @internal */
  _unsubscribe(subscription) {
    if (this.#subscriptions.get(subscription.channel) !== subscription) return;
    this.#subscriptions.delete(subscription.channel);
    if (this.#state !== "open") return;
    if (this.#transport.kind === "events") this.#reopen();
    else this.#ask({ op: "unsubscribe", channel: subscription.channel }).catch(() => {});
  }

  /** @internal */
  async _presence(channel) {
    return this.#ask({ op: "presence", channel });
  }

  #online = () => {
    if (this.#state === "waiting") this.#open();
  };

  /** A page that browsers keep for the way back stands still: it would hear nothing, and yet be there for the others. */
  #hidden = () => {
    clearTimeout(this.#timer);
    this.#drop((transport) => transport.socket.close());
    this.#interrupt();
    this.#state = "waiting";
  };

  #open() {
    clearTimeout(this.#timer);
    this.#state = "connecting";
    const { events, fallbackAfter } = this.#options;
    const listens = events !== null && (this.#options.WebSocket === undefined || this.#failures >= fallbackAfter);
    try {
      this.#transport = listens ? this.#openEvents() : this.#openSocket();
    } catch (error) {
      // Such as a URL that is none, or one that the page's policy forbids.
      this.#lost(1006, String(error));
      return;
    }
    const transport = this.#transport;
    this.#timer = setTimeout(() => {
      if (transport !== this.#transport || this.#state !== "connecting") return;
      this.#drop((transport) => transport.socket.close());
      this.#lost(1006, "it could not be opened in time");
    }, this.#options.openTimeout);
  }

  #openSocket() {
    const url = new URL(this.#url, globalThis.location?.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new this.#options.WebSocket(url.href, PROTOCOL);
    const transport = { kind: "websocket", socket };
    const isCurrent = () => transport === this.#transport;
    socket.onmessage = ({ data }) => {
      if (isCurrent() && typeof data === "string") this.#received(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (isCurrent()) this.#lost(code, reason);
    };
    return transport;
  }

  #openEvents() {
    const url = new URL(this.#options.events, globalThis.location?.href);
    const channels = [...this.#subscriptions.values()];
    for (const { channel } of channels) url.searchParams.append("channel", channel);
    url.searchParams.set("last", String(Math.max(0, ...channels.map(({ options }) => options.last ?? 0))));
    url.searchParams.set("since", channels.map(({ position: at }) => (at ? `${at.epoch}.${at.offset}` : "")).join(","));
    if (channels.length === 0) throw new ChannelError("no-channel", "there is nothing to listen to");
    const socket = new this.#options.EventSource(url.href);
    const transport = { kind: "events", socket, channels };
    socket.onmessage = ({ data }) => {
      if (transport === this.#transport) this.#received(data);
    };
    socket.onerror = () => {
      if (transport !== this.#transport) return;
      // It would come back by itself, but not to where this client has been, and not as a WebSocket.
      socket.close();
      this.#lost(1006, "");
    };
    return transport;
  }

  /** Lets the transport go: what it still has to say is not heard. */
  #drop(close) {
    const transport = this.#transport;
    this.#transport = null;
    if (transport) close(transport);
  }

  #lost(code, reason) {
    if (this.#state === "closed") return;
    const transport = this.#transport;
    this.#transport = null;
    const { reconnect, minDelay, maxDelay, spread, fallbackAfter } = this.#options;
    // Events were good enough for a while: one WebSocket is tried before the next.
    if (transport?.kind === "events") this.#failures = fallbackAfter - 1;
    else if (this.#state === "connecting") this.#failures += 1;
    if (!reconnect(code)) {
      this.#end({ code, reason });
      return;
    }
    this.#interrupt();
    this.#state = "waiting";
    // Who was sent away together must not come back together.
    const within = code === 1012 ? /reconnect within (\d+) s/.exec(reason) : null;
    const crowd = code === 1012 || code === 1013 ? Math.random() * (within ? within[1] * 1000 : spread) : 0;
    const delay = crowd + Math.min(maxDelay, minDelay * 2 ** this.#attempts) * (0.5 + Math.random() / 2);
    this.#attempts += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#emit("close", { code, reason, delay });
  }

  #end({ code, reason }) {
    if (this.#state === "closed") return;
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("online", this.#online);
    globalThis.removeEventListener?.("pagehide", this.#hidden);
    globalThis.removeEventListener?.("pageshow", this.#online);
    this.#interrupt();
    this.#state = "closed";
    this.#emit("close", { code, reason, delay: null });
    for (const pending of [...this.#pending.values()]) pending.reject(new ChannelError("closed", "the connection is closed"));
  }

  /** What was asked is not known to be done. What was not sent yet waits for the next connection. */
  #interrupt() {
    this.#peer = null;
    for (const pending of [...this.#pending.values()]) {
      if (pending.sent) pending.reject(new ChannelError("lost", "the connection was lost before the answer came"));
    }
  }

  #reopen() {
    this.#drop((transport) => transport.socket.close());
    this.#interrupt();
    this.#open();
  }

  #received(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      this.#emit("error", new ChannelError("malformed", "the server sent what is no JSON"));
      return;
    }
    switch (message.op) {
      case "welcome":
        return this.#welcome(message);
      case "message":
        return this.#message(message);
      case "subscribed":
        this.#subscriptions.get(message.channel)?._subscribed(message, message.id);
        return this.#settle(message);
      case "joined":
      case "left":
        this.#subscriptions.get(message.channel)?._moved(message);
        return;
      case "request":
        return void this.#answer(message);
      case "error":
        if (!this.#settle(message, new ChannelError(message.code, message.text))) {
          this.#emit("error", new ChannelError(message.code, message.text));
        }
        return;
      default:
        this.#settle(message);
    }
  }

  #welcome({ peer }) {
    clearTimeout(this.#timer);
    this.#state = "open";
    this.#peer = peer;
    this.#attempts = 0;
    if (this.#transport.kind === "websocket") {
      this.#failures = 0;
      for (const subscription of this.#subscriptions.values()) this.#enter(subscription);
      for (const pending of [...this.#pending.values()]) if (!pending.sent) pending.send();
    } else if ([...this.#subscriptions.values()].some((subscription) => !this.#transport.channels.includes(subscription))) {
      // They came while it was being opened.
      this.#reopen();
      return;
    }
    this.#emit("open", { peer, transport: this.#transport.kind });
  }

  #message(message) {
    if (message.channel === undefined) {
      this.#emit("message", message);
      return;
    }
    let heard = false;
    for (const subscription of this.#subscriptions.values()) {
      if (subscription._stands(message.channel)) {
        heard = true;
        subscription._message(message);
      }
    }
    if (!heard) this.#emit("message", message);
  }

  async #answer({ id, name, data }) {
    const transport = this.#transport;
    let reply;
    try {
      const handler = this.#handlers.get(name);
      if (!handler) throw new ChannelError("unknown-request", `this client has no answer to ${name}`);
      reply = { op: "reply", id, data: (await handler(data)) ?? null };
    } catch (error) {
      reply = { op: "error", id, code: error instanceof ChannelError ? error.code : "failed", text: String(error.message ?? error) };
    }
    if (transport === this.#transport) this.#send(reply);
  }

  #enter(subscription) {
    if (this.#transport.kind === "events") {
      this.#reopen();
      return;
    }
    const { channel, options, position } = subscription;
    const message = { op: "subscribe", channel, last: options.last ?? 0, presence: options.presence ?? false };
    if (position) message.since = position;
    subscription._entering = this.#lastId + 1;
    this.#ask(message).catch((error) => {
      if (error.code === "already-subscribed") {
        // The app has subscribed it.
        subscription._subscribed({ op: "subscribed", channel }, undefined);
        return;
      }
      // Lost connections are entered again.
      if (error.code === "lost" || error.code === "closed" || error.code === "timeout") return;
      if (this.#subscriptions.get(channel) === subscription) this.#subscriptions.delete(channel);
      subscription._failed(error);
    });
  }

  #ask(message, timeout = this.#options.timeout) {
    return new Promise((resolve, reject) => {
      if (this.#state === "closed") return reject(new ChannelError("closed", "the connection is closed"));
      if (this.transport === "events") {
        return reject(new ChannelError("only-listens", "this connection only listens: WebSockets cannot be opened"));
      }
      this.#lastId += 1;
      const id = this.#lastId;
      const timer = setTimeout(() => pending.reject(new ChannelError("timeout", "no answer came in time")), timeout);
      const end = () => {
        clearTimeout(timer);
        this.#pending.delete(id);
      };
      const pending = {
        sent: false,
        send: () => {
          pending.sent = true;
          this.#send({ ...message, id });
        },
        resolve: (answer) => (end(), resolve(answer)),
        reject: (error) => (end(), reject(error)),
      };
      this.#pending.set(id, pending);
      if (this.#state === "open") pending.send();
    });
  }

  #settle(message, error = null) {
    const pending = this.#pending.get(message.id);
    if (!pending) return false;
    if (error) pending.reject(error);
    else pending.resolve(message);
    return true;
  }

  #send(message) {
    this.#transport?.socket.send(JSON.stringify(message));
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** What `Client.subscribe` gives. Its events: "subscribed", "joined", "left", "error". */
export class Subscription extends EventTarget {
  #client;
  #callback;
  #mask;
  #here = false;

  /** @internal The id of what asks for it. What comes before the answer was meant for an earlier subscription. */
  set _entering(id) {
    this.#here = false;
    this.#entering = id;
  }
  #entering = undefined;

  constructor(client, channel, callback, options) {
    super();
    this.#client = client;
    this.#callback = callback;
    this.channel = channel;
    this.options = options;
    /** Where it stands in the channel's history. */
    this.position = options.since ?? null;
    /** Who is there, by id, if the channel knows and `presence` was asked for. */
    this.members = new Map();
    this.#mask = /[*?]/.test(channel) ? expression(channel) : null;
  }

  /** Says something on this channel. */
  publish(data) {
    return this.#client.publish(this.channel, data);
  }

  /** Who is there, asked anew. */
  async presence() {
    return this.#list(await this.#client._presence(this.channel));
  }

  /** Ends it. */
  unsubscribe() {
    this.#client._unsubscribe(this);
  }

  _stands(channel) {
    return this.#mask ? this.#mask.test(channel) : this.channel === channel;
  }

  _subscribed(message, id) {
    if (id !== undefined && id !== this.#entering) return;
    this.#here = true;
    this.position = message.epoch === undefined ? null : { epoch: message.epoch, offset: message.offset };
    if (message.members) this.#list(message);
    this.#emit("subscribed", message);
  }

  _message(message) {
    if (!this.#here) return;
    if (message.epoch !== undefined && !this.#mask) {
      const at = this.position;
      if (at && at.epoch === message.epoch && message.offset <= at.offset) return;
      this.position = { epoch: message.epoch, offset: message.offset };
    }
    this.#callback(message.data, message);
  }

  _moved(message) {
    if (message.op === "joined") this.members.set(message.peer, message.info);
    else this.members.delete(message.peer);
    this.#emit(message.op, message);
  }

  _failed(error) {
    this.#emit("error", error);
  }

  #list({ members }) {
    this.members = new Map(members.map(({ peer, info }) => [peer, info]));
    return this.members;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** What a mask stands for: `*` for any text, `?` for any one character. */
function expression(mask) {
  const escaped = mask.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", "[^]*").replaceAll("?", "[^]")}$`, "u");
}
