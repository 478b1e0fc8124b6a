/** Moments at which the child kills itself, by name, and how it finds them: from outside, around what the relay calls. */
import pg from 'pg';
import { LeaderLock } from '../../src/leader/leader-lock.ts';
import { CursorStore } from '../../src/postgres/cursor-store.ts';
import { Router } from '../../src/router/router.ts';
import { GuardedSink } from '../../src/sinks/guarded-sink.ts';

export const FAILPOINTS = [
  'received',
  'answered, not settled',
  'settled, no cursor row',
  'cursor row, not confirmed',
  'locked',
  'claimed',
  'older stream ended',
  'parking',
  'parked, not settled',
  'delivered, not removed',
  'removed',
  'burying',
  'buried, not settled',
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

type Owner = { [name: string]: unknown };

/** Called at a point; where what was interrupted can wait, it waits for the promise. */
export type Reached = () => Promise<void> | undefined;

/** Calls `reached` each time that the process is there. */
export function watch(point: Failpoint, reached: Reached): void {
  const router = Router.prototype as unknown as Owner;
  const sink = GuardedSink.prototype as unknown as Owner;
  switch (point) {
    case 'received':
      return after(router, 'accept', reached);
    case 'answered, not settled':
      return after(sink, 'deliver', reached);
    case 'settled, no cursor row':
      return aroundStatement('SET lsn = greatest(lsn', { before: reached });
    case 'cursor row, not confirmed':
      return aroundStatement('SET lsn = greatest(lsn', { after: reached });
    case 'locked':
      return after(LeaderLock as unknown as Owner, 'acquire', reached);
    case 'claimed':
      return after(CursorStore as unknown as Owner, 'claim', reached);
    case 'older stream ended':
      return aroundStatement('pg_terminate_backend', { after: reached });
    case 'parking':
      return aroundStatement('INSERT INTO walpost.parked', { before: reached });
    case 'parked, not settled':
      return aroundStatement('INSERT INTO walpost.parked', { after: reached });
    case 'delivered, not removed':
      return aroundStatement('DELETE FROM walpost.parked', { before: reached });
    case 'removed':
      return aroundStatement('DELETE FROM walpost.parked', { after: reached });
    case 'burying':
      return aroundStatement('INSERT INTO walpost.dead_letters', { before: reached });
    case 'buried, not settled':
      return aroundStatement('INSERT INTO walpost.dead_letters', { after: reached });
  }
}

/** After the call, and before whoever called goes on. */
function after(owner: Owner, name: string, reached: Reached): void {
  const original = owner[name] as (...given: unknown[]) => unknown;
  owner[name] = function (this: unknown, ...given: unknown[]): unknown {
    const result = original.apply(this, given);
    if (!(result instanceof Promise)) {
      void reached();
      return result;
    }
    return result.then(async (value: unknown) => {
      await reached();
      return value;
    });
  };
}

/** Before a statement goes to the server, or when it has been answered. */
function aroundStatement(text: string, given: { readonly before?: Reached; readonly after?: Reached }): void {
  const owner = pg.Pool.prototype as unknown as Owner;
  const original = owner['query'] as (...given: unknown[]) => Promise<unknown>;
  owner['query'] = async function (this: unknown, ...values: unknown[]): Promise<unknown> {
    const isIt = typeof values[0] === 'string' && values[0].includes(text);
    if (isIt) await given.before?.();
    const result = await original.apply(this, values);
    if (isIt) await given.after?.();
    return result;
  };
}
