/** Writes events into the inbox: one statement, and so one transaction, for all of them. */
import type pg from 'pg';
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { orAborted } from '../../or-aborted.ts';
import { quoteQualified } from '../../postgres/identifiers.ts';
import { textToWire, type WireText } from '../../wire-text.ts';
import { textArray } from './text-array.ts';

export class InboxTable {
  private readonly pool: pg.Pool;
  private readonly statement: string;

  constructor(pool: pg.Pool, table: string) {
    this.pool = pool;
    this.statement = `
      INSERT INTO ${quoteQualified(table)} (event_id, organization_id, event_type, topic, envelope)
      SELECT event_id, $2, event_type, topic, envelope::json
        FROM unnest($1::text[], $3::text[], $4::text[], $5::text[])
             WITH ORDINALITY AS event (event_id, event_type, topic, envelope, place)
       ORDER BY place
          ON CONFLICT (event_id) DO NOTHING`;
  }

  /** Resolves once the events are durable there, also those that were there before. An abort cuts the connection. */
  async insert(organizationId: string, events: readonly Event[], signal: AbortSignal): Promise<void> {
    const client = await this.connection(signal);
    let failure: Error | undefined;
    // The query is told as well; without a listener the process would end.
    client.on('error', ignore);
    try {
      await orAborted(client.query(this.statement, valuesOf(organizationId, events)), signal);
    } catch (error) {
      failure = error as Error;
      throw error;
    } finally {
      if (signal.aborted) (client as pg.Client).connection.stream.destroy();
      client.off('error', ignore);
      client.release(failure !== undefined && (signal.aborted || !('severity' in failure)));
    }
  }

  private async connection(signal: AbortSignal): Promise<pg.PoolClient> {
    const connecting = this.pool.connect();
    try {
      return await orAborted(connecting, signal);
    } catch (error) {
      if (signal.aborted) {
        connecting.then(
          (client) => client.release(),
          () => undefined,
        );
      }
      throw error;
    }
  }
}

const ignore = (): void => undefined;

/** Event by event: the fields of a row are cut anew whenever another row was read in between. */
function valuesOf(organizationId: string, events: readonly Event[]): unknown[] {
  const ids: WireText[] = [];
  const types: WireText[] = [];
  const topics: WireText[] = [];
  const envelopes: WireText[] = [];
  for (const event of events) {
    ids.push(textToWire(event.eventId));
    types.push(textToWire(event.eventType));
    topics.push(textToWire(event.topic));
    envelopes.push(envelopeOf(event));
  }
  return [textArray(ids), organizationId, textArray(types), textArray(topics), textArray(envelopes)];
}
