/**
 * What a connection stands on: a checked server, a migrated schema, a slot that can be streamed from, and the cursor
 * claimed with a new epoch. Made anew for each connection, because any of it may have changed meanwhile.
 */
import type pg from 'pg';
import type { Config } from './config/schema.ts';
import { columnMapping, requiredColumns } from './decoder/column-mapping.ts';
import type { Logger } from './observe/log.ts';
import { CursorStore } from './postgres/cursor-store.ts';
import { assertMigrated } from './postgres/migrate.ts';
import { createPool } from './postgres/pool.ts';
import { ensurePublication } from './slot/publication.ts';
import { checkServer, type ServerFacts } from './slot/server-checks.ts';
import { ensureSlot } from './slot/slot-setup.ts';
import { checkSource } from './slot/source-checks.ts';

export interface Ground extends AsyncDisposable {
  readonly pool: pg.Pool;
  readonly server: ServerFacts;
  readonly slot: string;
  readonly cursor: CursorStore;
}

/** Slots are named for the whole cluster, so the default carries the database's name. */
export function slotName(config: Config, database: string): string {
  return config.source.slot ?? `walpost_${database.toLowerCase().replace(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
}

export async function openGround(options: { config: Config; log: Logger }): Promise<Ground> {
  const { config, log } = options;
  const { url, pool_size: max } = config.database;
  const { publication, table, plugin } = config.source;
  const server = await checkServer({ url, ...(config.source.slot === undefined ? {} : { slot: config.source.slot }) });
  const pool = createPool(url, {
    applicationName: 'walpost',
    max,
    onError: (error) => log.debug({ err: error }, 'an idle connection ended'),
  });
  try {
    await assertMigrated(pool);
    if (await ensurePublication({ db: pool, publication, table }))
      log.info({ publication, table }, 'publication created');
    await checkSource({ db: pool, publication, table, columns: requiredColumns(columnMapping(config.source)) });
    const slot = slotName(config, server.database);
    const failover = server.isPrimary && server.version >= 170_000;
    const { created, facts } = await ensureSlot({ url, db: pool, slot, plugin, failover });
    if (created) log.info({ slot, plugin, failover }, 'slot created');
    if (facts.walStatus !== 'reserved') log.warn({ slot, walStatus: facts.walStatus }, 'the slot is behind');
    const { systemIdentifier, timeline } = server;
    const cursor = await CursorStore.claim(pool, { slot, systemIdentifier, timeline });
    return { pool, server, slot, cursor, [Symbol.asyncDispose]: () => pool.end() };
  } catch (error) {
    await pool.end();
    throw error;
  }
}
