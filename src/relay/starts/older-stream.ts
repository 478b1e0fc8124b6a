import type pg from 'pg';
import type { Config } from '../../config/schema.ts';
import { WalpostError } from '../../errors.ts';
import type { Logger } from '../../observe/log.ts';
import { APPLICATION_NAME } from '../../slot/replication-client.ts';
import { endHolder } from '../../slot/slot-setup.ts';
import { inspectSlot, slotProblem } from '../../slot/slot-state.ts';

export interface OlderStreamOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly pool: pg.Pool;
  readonly slot: string;
}

/** A session that ends at all ends within milliseconds; then it is told again. */
const END_TIMEOUT_MS = 500;
const END_TRIES = 8;

/**
 * Ends what an older leader left on the slot: the server would notice only after wal_sender_timeout. A walsender that is
 * writing to a process which does not read stays in its farewell message, and leaves at the second signal.
 *
 * A process of another program is left alone, for the slot may be its own and named here by mistake.
 */
export async function endOlderStream({ config, log, pool, slot }: OlderStreamOptions): Promise<void> {
  const state = await inspectSlot(pool, slot, config.source.plugin);
  if (state.kind !== 'in_use' || state.facts.holder?.applicationName !== APPLICATION_NAME) return;
  const { pid, clientAddress } = state.facts.holder;
  log.info({ slot, pid, clientAddress }, 'ending the stream of an older leader');
  try {
    for (let tries = 0; tries < END_TRIES; tries++) {
      if (await endHolder(pool, slot, pid, END_TIMEOUT_MS)) return;
    }
  } catch (error) {
    const refused = error instanceof WalpostError && error.code === 'PERMISSION_DENIED';
    throw (refused && slotProblem(state)) || error;
  }
  throw new WalpostError('SLOT_STILL_HELD', { detail: `Slot "${slot}", process ${pid}.` });
}
