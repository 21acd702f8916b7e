// Types of narthex.js.

// What is not marked so is not exported.
export {};

/** Something that was asked for was not done. */
export class ChannelError extends Error {
  /**
   * From the server: `denied`, `malformed`, `bad-channel`, and what else docs/channels.md lists, or the app's own. From this module:
   * `timeout`; `lost`, the connection was lost before the answer came; `closed`; `only-listens`, there is no WebSocket.
   */
  readonly code: string;
  constructor(code: string, text: string);
}

/** Where a message stands in the history of its channel. */
export interface Position {
  epoch: string;
  offset: number;
}

export interface Message<T = unknown> extends Partial<Position> {
  channel?: string;
  data: T;
  /** The id of the connection that published it. Absent: the server. */
  from?: string;
}

export interface ClientOptions {
  /** Where server-sent events are, for when WebSockets cannot be opened. Default: nowhere. */
  events?: string | null;
  /** How long answers are waited for, in milliseconds, and the connection before that. Default: 10 000. */
  timeout?: number;
  /** The first wait before connecting again, in milliseconds; it doubles each time, and is 50 to 100 % of that. Default: 500. */
  minDelay?: number;
  /** The longest wait. Default: 30 000. */
  maxDelay?: number;
  /** After the codes 1012 and 1013, up to so much more, at random, if the server does not say within what time. Default: 10 000. */
  spread?: number;
  /** How long a connection may take to open. Default: 10 000. */
  openTimeout?: number;
  /** After so many WebSockets that could not be opened, `events` is used. Default: 2. */
  fallbackAfter?: number;
  /** Whether to come back after this close code. Default: unless it is 1008, or 4000 and above. */
  reconnect?: (code: number) => boolean;
  WebSocket?: typeof WebSocket;
  EventSource?: typeof EventSource;
}

export interface SubscribeOptions {
  /** The last so many messages, if the channel keeps them. */
  last?: number;
  /** What came after this. */
  since?: Position;
  /** Keep `members`. */
  presence?: boolean;
}

export interface Subscribed extends Partial<Position> {
  channel: string;
  /** After a lost connection: whether nothing was missed. */
  recovered?: boolean;
  reason?: "epoch" | "trimmed" | "no-history";
  replayed?: number;
}

interface ClientEvents {
  open: CustomEvent<{ peer: string; transport: "websocket" | "events" }>;
  /** `delay`: milliseconds until the next attempt; null: there is none. */
  close: CustomEvent<{ code: number; reason: string; delay: number | null }>;
  /** What nobody waits for. */
  error: CustomEvent<ChannelError>;
  /** What belongs to no subscription. */
  message: CustomEvent<Message>;
}

interface SubscriptionEvents {
  subscribed: CustomEvent<Subscribed>;
  joined: CustomEvent<{ channel: string; peer: string; info: unknown }>;
  left: CustomEvent<{ channel: string; peer: string }>;
  /** It was refused, and is over. */
  error: CustomEvent<ChannelError>;
}

/** An EventTarget whose events are known. The module has no such class of its own. */
declare class Emitter<Events> extends EventTarget {
  addEventListener<K extends keyof Events>(
    type: K,
    listener: (event: Events[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof Events>(
    type: K,
    listener: (event: Events[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** A connection to a hub. It opens at once, and again whenever it is lost, until `close`. */
export class Client extends Emitter<ClientEvents> {
  constructor(url: string | URL, options?: ClientOptions);
  readonly state: "connecting" | "open" | "waiting" | "closed";
  /** This connection's id, while it is open. */
  readonly peer: string | null;
  readonly transport: "websocket" | "events" | null;
  /** Bytes that wait to be sent. */
  readonly buffered: number;
  subscribe<T = any>(
    channel: string,
    callback?: (data: T, message: Message<T>) => void,
    options?: SubscribeOptions,
  ): Subscription;
  publish(channel: string, data: unknown): Promise<Partial<Position>>;
  request<T = any>(name: string, data?: unknown, options?: { timeout?: number }): Promise<T>;
  handle(name: string, handler: (data: any) => unknown): void;
  close(code?: number, reason?: string): void;
}

export class Subscription<Info = any> extends Emitter<SubscriptionEvents> {
  private constructor();
  readonly channel: string;
  readonly position: Position | null;
  /** Who is there, by the id of the connection. */
  readonly members: Map<string, Info>;
  publish(data: unknown): Promise<Partial<Position>>;
  presence(): Promise<Map<string, Info>>;
  unsubscribe(): void;
}
