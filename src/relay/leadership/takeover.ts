/** The step `slot` of relay.ts, under the lock: the writes of the previous leader are refused from here on, then the slot is taken over. */
import type pg from 'pg';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config/schema.ts';
import { claimEpoch } from '../../leader/claim-epoch.ts';
import type { Logger } from '../../observe/log.ts';
import type { CursorSource, CursorStore } from '../../postgres/cursor/cursor-store.ts';
import { APPLICATION_NAME } from '../../slot/replication-client.ts';
import type { SlotHealing } from '../healing/healing.ts';
import { endOlderStream } from '../starts/older-stream.ts';
import { dropFormerSlot, moveToSlot } from '../starts/adopt-former-slot.ts';
import type { Start } from '../starts/start.ts';
import { prepareSlot } from '../starts/prepare-slot.ts';
import type { ServerFacts } from '../../slot/server-checks.ts';

export interface TakeoverOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly pool: pg.Pool;
  readonly server: ServerFacts;
  readonly start: Start;
  /** Acquires the leader lock of another slot. */
  readonly lockOf: (slot: string) => Promise<AsyncDisposable>;
}

export interface Takeover {
  readonly cursor: CursorStore;
  /** To be run before the stream starts. */
  readonly healing: SlotHealing | undefined;
}

/** Claims the next epoch and leaves the slot free and fit to be streamed from. */
export async function takeOver(options: TakeoverOptions): Promise<Takeover> {
  const { config, log, clock, pool, server, start } = options;
  const { slot } = start;
  const { systemIdentifier, timeline } = server;
  const { table, publication } = config.source;
  const claim = (name: string, source?: CursorSource): Promise<CursorStore> =>
    claimEpoch({
      pool,
      url: config.database.url,
      claim: { slot: name, systemIdentifier, timeline, ...(source && { source }) },
      clock,
      applicationName: APPLICATION_NAME,
      onError: (message) => log.warn(`a session of an older leader is in the way and cannot be ended: ${message}`),
    });
  if ('from' in start && start.from !== undefined && start.from !== slot) {
    await using _old = await options.lockOf(start.from);
    await moveToSlot({ config, log, pool, server, slot, from: start.from, kind: start.kind, claim });
  }
  const cursor = await claim(slot, { table, publication });
  await endOlderStream({ config, log, pool, slot });
  await dropFormerSlot({ config, log, pool, cursor });
  return { cursor, healing: await prepareSlot({ config, log, pool, server, slot, cursor, start }) };
}
