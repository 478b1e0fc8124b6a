/** The texts that walpost's own sinks send, for sinks of your own. */
import * as envelope from '../envelope.ts';
import type { WireText } from '../wire-text.ts';
import type { SinkBatch, SinkEvent } from './custom-sink.ts';

/** The envelope of an event: one JSON object, as docs/sinks/README.md describes it. */
export function envelopeOf(event: SinkEvent): WireText {
  return envelope.envelopeOf(event);
}

/** The body of a webhook: `{"batch_id","organization_id","sink","attempt","events":[…]}`. */
export function batchBody(sink: string, batch: SinkBatch): WireText {
  return envelope.batchBody({ sink, batch });
}

/** An id that the same batch has again after a retry or a restart. A receiver may drop an id that it has seen. */
export function batchId(sink: string, { job, lane, events }: SinkBatch): string {
  return envelope.batchId({ sink, job: job ?? null, lane, events });
}
