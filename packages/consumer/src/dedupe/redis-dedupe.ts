/**
 * At least once, with a small window: an event is handled again when the process ends between its handler's last effect and
 * the note that it is done, or when its handler takes longer than `lease`.
 */
import type { DedupeStore } from './dedupe-store.ts';

/** ioredis has `call`, node-redis has `sendCommand`; of any other client a function that sends one command. */
export type RedisCommands =
  | { call(command: string, ...args: string[]): Promise<unknown> }
  | { sendCommand(args: string[]): Promise<unknown> }
  | ((args: string[]) => Promise<unknown>);

export interface RedisDedupeOptions {
  /** Before the event id in each key; `walpost:event:` when absent. */
  readonly prefix?: string;
  /** How long a handled event is remembered, in milliseconds. Two days when absent: longer than walpost tries by default. */
  readonly maxAge?: number;
  /** How long a handler may take, in milliseconds; 60,000 when absent. After that another request may handle the event. */
  readonly lease?: number;
}

const DONE = 'done';
const GIVE_BACK = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

export function redisDedupe(client: RedisCommands, options: RedisDedupeOptions = {}): DedupeStore {
  const { prefix = 'walpost:event:', maxAge = 2 * 86_400_000, lease = 60_000 } = options;
  const send = senderOf(client);
  return {
    once: async ({ event_id: id }, work) => {
      const key = prefix + id;
      const mine = crypto.randomUUID();
      if ((await send(['SET', key, mine, 'NX', 'PX', String(lease)])) === null) {
        return String(await send(['GET', key])) === DONE ? 'repeated' : 'busy';
      }
      try {
        await work(undefined);
      } catch (error) {
        // Without an answer of Redis the lease runs out by itself. What the handler threw says more.
        await send(['EVAL', GIVE_BACK, '1', key, mine]).catch(() => undefined);
        throw error;
      }
      await send(['SET', key, DONE, 'PX', String(maxAge)]);
      return 'handled';
    },
  };
}

function senderOf(client: RedisCommands): (args: string[]) => Promise<unknown> {
  if (typeof client === 'function') return client;
  // ioredis has both, and its sendCommand takes another argument.
  if ('call' in client) return ([command = '', ...args]) => client.call(command, ...args);
  return (args) => client.sendCommand(args);
}
