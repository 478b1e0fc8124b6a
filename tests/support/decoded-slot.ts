import type { Decoder, Step } from '../../src/pipeline.ts';
import type { PluginOptions } from '../../src/decoder/start-options.ts';
import { type TestDatabase } from './database.ts';

export interface DecodedSlotOptions {
  readonly plugin: 'pgoutput' | 'wal2json';
  readonly options: PluginOptions;
}

/** A slot that is read with SQL, as often as wanted: each read gives the steps since the one before. */
export async function createDecodedSlot(database: TestDatabase, { plugin, options }: DecodedSlotOptions) {
  const slot = `${database.slotName}_${plugin}`;
  await database.query('SELECT pg_create_logical_replication_slot($1, $2)', [slot, plugin]);
  // The functions print with the settings of this session; a relay pins the same in its startup packet.
  await database.query(`SET timezone = 'UTC'`);
  await database.query(`SET datestyle = 'ISO'`);
  const get = plugin === 'pgoutput' ? 'binary_changes' : 'changes';
  return {
    async messages(): Promise<Buffer[]> {
      const rows = await database.query<{ data: Buffer | string }>(
        `SELECT data FROM pg_logical_slot_get_${get}($1, NULL, NULL, VARIADIC $2::text[])`,
        [slot, Object.entries(options).flat()],
      );
      return rows.map(({ data }) => Buffer.from(data as string));
    },
    async steps(decoder: Decoder): Promise<Step[]> {
      return (await this.messages()).map((message) => decoder.decode(message)).filter((step) => step !== undefined);
    },
  };
}
