/** Moments at which the child kills itself, by name, and how it finds them: from outside, around what the relay calls. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { LeaderLock } from '../../src/leader/leader-lock.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { Router } from '../../src/router/router.ts';
import { GuardedSink } from '../../src/sinks/guard/guarded-sink.ts';

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
  'storing a dead letter',
  'dead letter stored, not settled',
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

/** Called at a point; where what was interrupted can wait, it waits for the promise. */
export type Reached = () => Promise<void> | undefined;

/** Calls `reached` each time that the process is there. */
export function watch(point: Failpoint, reached: Reached): void {
  switch (point) {
    case 'received':
      return after(Router.prototype, 'accept', reached);
    case 'answered, not settled':
      return after(GuardedSink.prototype, 'deliver', reached);
    case 'settled, no cursor row':
      return aroundStatement('SET lsn = greatest(lsn', { before: reached });
    case 'cursor row, not confirmed':
      return aroundStatement('SET lsn = greatest(lsn', { after: reached });
    case 'locked':
      return after(LeaderLock, 'acquire', reached);
    case 'claimed':
      return after(CursorStore, 'claim', reached);
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
    case 'storing a dead letter':
      return aroundStatement('INSERT INTO walpost.dead_letters', { before: reached });
    case 'dead letter stored, not settled':
      return aroundStatement('INSERT INTO walpost.dead_letters', { after: reached });
  }
}

type Method = (this: unknown, ...given: unknown[]) => unknown;

/** After the call, and before the caller goes on. */
export function after<T extends object, K extends keyof T & string>(owner: T, name: K, reached: Reached): void {
  const original = methodOf(owner, name);
  const patched: Method = function (...given) {
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
  Object.assign(owner, { [name]: patched });
}

/** Before a statement goes to the server, or when it has been answered. The text has to stand in one of src's statements. */
export function aroundStatement(text: string, given: { readonly before?: Reached; readonly after?: Reached }): void {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) =>
    /(?<!\.d)\.(ts|js)$/.test(file),
  );
  const isInSource = files.some((file) => readFileSync(join(SRC, file), 'utf8').includes(text));
  if (!isInSource) throw new Error(`no statement in src holds "${text}": the failpoint would never be reached`);
  const original = methodOf(pg.Pool.prototype, 'query');
  const patched: Method = async function (...values) {
    const isIt = typeof values[0] === 'string' && values[0].includes(text);
    if (isIt) await given.before?.();
    const result = await original.apply(this, values);
    if (isIt) await given.after?.();
    return result;
  };
  Object.assign(pg.Pool.prototype, { query: patched });
}

/** Beside the compiled form of this file it is the compiled form of src. */
const SRC = join(import.meta.dirname, '../../src');

function methodOf<T extends object>(owner: T, name: keyof T & string): Method {
  const method: unknown = owner[name];
  if (typeof method !== 'function') throw new Error(`${name} is no method: the failpoint would never be reached`);
  return method as Method;
}
