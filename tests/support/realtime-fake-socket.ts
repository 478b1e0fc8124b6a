/**
 * The websocket side of the Realtime fake: Phoenix channels, protocol 2.0.0.
 *
 * Text frames are `[join_ref, ref, topic, event, payload]`. Broadcasts that came over the single-message route or over a
 * socket leave as binary frames of kind 4, with the payload's bytes as they came; broadcasts of the batch route leave as
 * text. Public and private channels of one name are different channels, as they are in the real server.
 */
import type { WebSocket } from 'ws';

/** What a key or token may do with private topics. */
export interface Permissions {
  read(topic: string): boolean;
  write(topic: string): boolean;
}

/** One broadcast on its way to the members of a channel. */
export interface Broadcast {
  readonly topic: string;
  readonly event: string;
  readonly payload: Buffer;
  readonly isPrivate: boolean;
  readonly framing: 'binary' | 'text';
}

export interface SocketHooks {
  lookUp(token: string): Permissions | undefined;
  publish(broadcast: Broadcast, from: RealtimeFakeSocket): void;
}

interface Member {
  readonly joinRef: string | null;
  readonly isPrivate: boolean;
  readonly self: boolean;
  readonly ack: boolean;
  readonly permissions: Permissions;
}

interface JoinPayload {
  readonly access_token?: string;
  readonly config?: { readonly private?: boolean; readonly broadcast?: { self?: boolean; ack?: boolean } };
}

type Frame = [joinRef: string | null, ref: string | null, topic: string, event: string, payload: unknown];

const PREFIX = 'realtime:';
const PUSH = 3;
const BROADCAST = 4;
const JSON_ENCODING = 1;

export class RealtimeFakeSocket {
  readonly #socket: WebSocket;
  readonly #key: string;
  readonly #hooks: SocketHooks;
  readonly #members = new Map<string, Member>();

  constructor(socket: WebSocket, key: string, hooks: SocketHooks) {
    this.#socket = socket;
    this.#key = key;
    this.#hooks = hooks;
    socket.on('message', (data: Buffer, isBinary) => (isBinary ? this.#push(data) : this.#text(data.toString('utf8'))));
  }

  /** Hands a broadcast on, when this socket is a member of the channel. */
  send(broadcast: Broadcast, from?: RealtimeFakeSocket): void {
    const topic = PREFIX + broadcast.topic;
    const member = this.#members.get(topic);
    if (!member || member.isPrivate !== broadcast.isPrivate) return;
    if (from === this && !member.self) return;
    if (broadcast.framing === 'text') {
      const message = { type: 'broadcast', event: broadcast.event, payload: JSON.parse(broadcast.payload.toString()) };
      this.#reply([null, null, topic, 'broadcast', message]);
      return;
    }
    const name = Buffer.from(topic);
    const event = Buffer.from(broadcast.event);
    const head = Buffer.from([BROADCAST, name.length, event.length, 0, JSON_ENCODING]);
    this.#socket.send(Buffer.concat([head, name, event, broadcast.payload]));
  }

  #text(text: string): void {
    const [joinRef, ref, topic, event, payload] = JSON.parse(text) as Frame;
    const ok = (response: object = {}): void =>
      this.#reply([joinRef, ref, topic, 'phx_reply', { status: 'ok', response }]);
    if (topic === 'phoenix' && event === 'heartbeat') ok();
    else if (event === 'phx_join') this.#join([joinRef, ref, topic, event, payload]);
    else if (event === 'phx_leave') {
      this.#members.delete(topic);
      ok();
      this.#reply([joinRef, null, topic, 'phx_close', {}]);
    }
  }

  #join([joinRef, ref, topic, , payload]: Frame): void {
    const { access_token: token = this.#key, config } = payload as JoinPayload;
    const name = topic.slice(PREFIX.length);
    const isPrivate = config?.private ?? false;
    const permissions = this.#hooks.lookUp(token);
    const refuse = (reason: string): void =>
      this.#reply([joinRef, ref, topic, 'phx_reply', { status: 'error', response: { reason } }]);
    if (!permissions) return refuse('JwtSignatureError: Failed to validate JWT signature');
    if (isPrivate && !permissions.read(name)) {
      return refuse(`Unauthorized: You do not have permissions to read from this Channel topic: ${name}`);
    }
    const { self = false, ack = false } = config?.broadcast ?? {};
    this.#members.set(topic, { joinRef, isPrivate, self, ack, permissions });
    this.#reply([joinRef, ref, topic, 'phx_reply', { status: 'ok', response: { postgres_changes: [] } }]);
  }

  /** A client's own broadcast: kind, five lengths, encoding, then the five texts and the payload. */
  #push(frame: Buffer): void {
    if (frame[0] !== PUSH) return this.#socket.close(1003);
    let offset = 7;
    const [joinRef = '', ref = '', topic = '', event = ''] = [1, 2, 3, 4, 5].map((place) => {
      const length = frame[place] ?? 0;
      offset += length;
      return frame.toString('utf8', offset - length, offset);
    });
    const member = this.#members.get(topic);
    const name = topic.slice(PREFIX.length);
    if (!member || (member.isPrivate && !member.permissions.write(name))) return;
    const payload = frame.subarray(offset);
    this.#hooks.publish({ topic: name, event, payload, isPrivate: member.isPrivate, framing: 'binary' }, this);
    if (member.ack) this.#reply([joinRef, ref, topic, 'phx_reply', { status: 'ok', response: {} }]);
  }

  #reply(frame: Frame): void {
    this.#socket.send(JSON.stringify(frame));
  }
}
