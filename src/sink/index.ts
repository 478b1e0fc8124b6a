/** The public door `walpost/sink`: everything that a sink of your own needs. */
export type { CreateSink, CustomSink as Sink, SinkBatch, SinkEvent, SinkEventOrigin } from './custom-sink.ts';
export type { SinkContext, SinkLog, SinkMetrics } from '../sink-context.ts';
export type { Clock, Timer } from '../clock.ts';
export type { WireText } from '../wire-text.ts';
export { DELIVERED, type Verdict, type Verdicts } from '../pipeline.ts';
export { batchBody, batchId, envelopeOf } from './batch-text.ts';
export { wireBytes, wireToText } from '../wire-text.ts';
export { pause } from '../clock.ts';
export {
  defineSink,
  type OptionsIssue,
  type OptionsResult,
  type OptionsSchema,
  type SinkDefinition,
} from './define-sink.ts';
export { SINK_CONTRACT } from '../sink-contract-version.ts';
