/**
 * Connects to the first address of a name that answers (RFC 8305, "Happy Eyeballs").
 *
 * Node gives each address 250 ms and then drops the attempt, so a receiver whose handshake takes longer is never reached.
 * Here an attempt goes on while the next one begins, and all of them may take the time that the sink allows. The pause
 * between two beginnings shrinks with that time, so every address is tried however short it is.
 */
import type { LookupAddress } from 'node:dns';
import { connect, type Socket } from 'node:net';

/** The recommended pause between the beginnings of two attempts. */
const LONGEST_PAUSE = 250;
/** As undici reads. */
const READ_AHEAD = 64 * 1024;
/** These say less about the destination than any other error: one family may have no route at all. */
const NO_ROUTE = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/** No address accepted the connection in time. */
export class NotConnectedError extends Error {
  readonly code = 'UND_ERR_CONNECT_TIMEOUT';
}

export interface RaceOptions {
  readonly port: number;
  /** Milliseconds for all attempts together. */
  readonly timeout: number;
}

export function connectToAny(addresses: readonly LookupAddress[], options: RaceOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const waiting = alternating(addresses);
    const pace = Math.min(LONGEST_PAUSE, options.timeout / (2 * waiting.length));
    const open = new Set<Socket>();
    const errors: NodeJS.ErrnoException[] = [];
    let pause: NodeJS.Timeout | undefined;
    const limit = setTimeout(() => end(new NotConnectedError('no address answered in time')), options.timeout);
    const end = (result: Socket | Error): void => {
      clearTimeout(limit);
      clearTimeout(pause);
      waiting.length = 0;
      for (const socket of open) if (socket !== result) socket.destroy();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    const begin = (): void => {
      clearTimeout(pause);
      const address = waiting.shift();
      if (!address) return;
      const target = { host: address.address, port: options.port, highWaterMark: READ_AHEAD };
      const socket = connect(target);
      open.add(socket);
      // This listener stays: between here and the first request nobody else listens.
      socket.on('error', (error) => {
        if (!open.delete(socket) || socket.readyState === 'open') return;
        errors.push(error);
        if (waiting.length > 0) begin();
        else if (open.size === 0) end(errors.find(({ code = '' }) => !NO_ROUTE.has(code)) ?? error);
      });
      socket.once('connect', () => {
        open.delete(socket);
        end(socket);
      });
      if (waiting.length > 0) pause = setTimeout(begin, pace);
    };
    begin();
  });
}

/** In the order of the resolver, but the families take turns. */
function alternating(addresses: readonly LookupAddress[]): LookupAddress[] {
  const first = addresses.filter(({ family }) => family === addresses[0]?.family);
  const others = addresses.filter(({ family }) => family !== addresses[0]?.family);
  const mixed: LookupAddress[] = [];
  for (let at = 0; at < Math.max(first.length, others.length); at++) {
    mixed.push(...[first[at], others[at]].filter((address) => address !== undefined));
  }
  return mixed;
}
