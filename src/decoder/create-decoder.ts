import type { Config } from '../config/schema.ts';
import type { Decoder } from '../pipeline.ts';
import { columnMapping, payloadForm } from '../postgres/source/column-mapping.ts';
import type { DecoderHooks } from './decoder-options.ts';
import { createPgoutputDecoder } from './pgoutput.ts';
import { createWal2jsonDecoder } from './wal2json.ts';

/** A decoder for one connection: what it knows of the stream ends with it. Throws CONFIG_INVALID. */
export function createDecoder(source: Config['source'], hooks: DecoderHooks): Decoder {
  const { messages, ...others } = hooks;
  const wanted = source.messages && messages ? { ...others, messages } : others;
  const options = { ...wanted, mapping: columnMapping(source), payload: payloadForm(source), table: source.table };
  return source.plugin === 'wal2json' ? createWal2jsonDecoder(options) : createPgoutputDecoder(options);
}
