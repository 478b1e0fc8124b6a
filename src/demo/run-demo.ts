/**
 * The demo: a real Postgres, an application that writes events in its own transactions, walpost as a user runs it, and a
 * receiver. It shows the figures while events flow, and ends by comparing what was committed with what arrived.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, pause, systemClock } from '../clock.ts';
import { printableJson } from '../observe/printable.ts';
import { audit } from './audit.ts';
import { DemoRecord } from './demo-record.ts';
import { DemoStage } from './demo-stage.ts';
import { createDisplay, type DemoOutput, type Display } from './display.ts';
import { mixForEverySink, PLACED_ONLY } from './event-mix.ts';
import { FiguresMeter } from './figures.ts';
import type { ReceiverOptions } from './receiver.ts';
import { type DemoOutcome, formatReport, isSuccess, outcomeJson } from './report.ts';
import type { Tamper } from './sinks/demo-sink.ts';
import type { EverySink } from './sinks/every-sink.ts';
import { auditSinks, type SinkAudit, waitForSinks } from './sinks/sink-audit.ts';
import { seededRandom } from './transaction-plan.ts';
import { waitForDelivery } from './wait-for-delivery.ts';
import { Writer } from './writer.ts';

export interface DemoOptions {
  readonly durationMs: number;
  /** Committed events a second. */
  readonly rate: number;
  readonly organizations: number;
  /** One line a second instead of the live view. */
  readonly plain: boolean;
  readonly output: DemoOutput;
  /** Gets the comparison as JSON. */
  readonly result?: DemoOutput;
  /** Ends the writing early; the comparison still follows. */
  readonly stop?: AbortSignal;
  /** Also ends the wait for deliveries. */
  readonly abandon?: AbortSignal;
  readonly tamper?: ReceiverOptions['tamper'];
  /** Routes a share of the events to a sink of every type, beside the webhook. */
  readonly allSinks?: boolean;
  readonly tamperSinks?: Tamper;
  /** Milliseconds without an arrival after which missing events count as lost. */
  readonly patienceMs?: number;
}

/** Connections of the application: enough to interleave transactions, more for a high rate. */
const WRITERS = { least: 4, most: 8, rateOfOne: 1000 };
const DEFAULT_PATIENCE_MS = 20_000;

/** Returns the exit code: 0 when everything that was committed arrived, in order, and nothing else did. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const { output, tamper, allSinks = false, tamperSinks } = options;
  const clock = systemClock;
  const record = new DemoRecord(Array.from({ length: options.organizations }, () => randomUUID()));
  const say = (line: string): unknown => output.write(`${line}\n`);
  const stage = await DemoStage.set({
    record,
    clock,
    say,
    allSinks,
    ...(tamper && { tamper }),
    ...(tamperSinks && { tamperSinks }),
  });
  try {
    const abandon = options.abandon ?? new AbortController().signal;
    await stage.ready(clock, abandon);
    const relayFailure = await play(stage, record, { ...options, abandon, clock });
    // walpost delivers what it still holds.
    await stage.relay.stop();
    const outcome = await compare(record, stage.everySink, relayFailure);
    output.write(formatReport(outcome, output.columns ?? Number.POSITIVE_INFINITY));
    options.result?.write(`${printableJson(outcomeJson(outcome))}\n`);
    if (!isSuccess(outcome)) {
      output.write(`The log of walpost: ${stage.relay.logFile}\n`);
      return 1;
    }
    await stage.removeFiles();
    return 0;
  } finally {
    await stage[Symbol.asyncDispose]();
  }
}

/** What was committed beside what arrived: at the webhook, and at the other sinks where there are any. */
async function compare(
  { written, arrivals, latencies, refused }: DemoRecord,
  everySink: EverySink | undefined,
  relayFailure: string | undefined,
): Promise<DemoOutcome> {
  const webhook = audit(written, arrivals);
  const outcome = { audit: webhook, latencies, refused, relayFailure };
  if (!everySink) return outcome;
  const { audits, leftOut } = await auditSinks(everySink, written);
  const eventTypes = [...new Set(written.map(({ eventType }) => eventType))];
  const ofWebhook: SinkAudit = { name: 'webhook', eventTypes, audit: webhook, isSequence: true };
  return { ...outcome, everySink: { audits: [ofWebhook, ...audits], leftOut } };
}

interface Play extends DemoOptions {
  readonly abandon: AbortSignal;
  readonly clock: Clock;
}

/** Writes, shows and waits. Returns how walpost ended, when it ended on its own. */
async function play(stage: DemoStage, record: DemoRecord, options: Play): Promise<string | undefined> {
  const { clock, durationMs } = options;
  const relayEnd = new AbortController();
  let relayFailure: string | undefined;
  void stage.relay.ended.then((how) => {
    relayFailure = how;
    relayEnd.abort();
  });
  const { everySink } = stage;
  const sinks = everySink ? `, ${everySink.sinks.size + 1} sinks` : '';
  const title = `PostgreSQL ${stage.postgres.version}${sinks}`;
  const meter = new FiguresMeter(record, { title, durationMs, startedAt: clock.now() });
  const display = createDisplay(options.output, options.plain);
  const over = new AbortController();
  const showing = show(display, meter, { stage, clock, signal: over.signal });
  try {
    const early = AbortSignal.any([relayEnd.signal, options.abandon, ...(options.stop ? [options.stop] : [])]);
    await write(stage.postgres.url(), record, { ...options, stop: early });
    meter.phase = 'delivering the rest';
    const end = AbortSignal.any([relayEnd.signal, options.abandon]);
    const waiting = { clock, signal: end, patienceMs: options.patienceMs ?? DEFAULT_PATIENCE_MS };
    await waitForDelivery(record, waiting);
    if (everySink) await waitForSinks(everySink, record.written, waiting);
  } finally {
    over.abort();
    await showing;
    display.close();
  }
  return relayFailure;
}

async function show(
  display: Display,
  meter: FiguresMeter,
  { stage, clock, signal }: { stage: DemoStage; clock: Clock; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    const lagBytes = await stage.probe.lagBytes();
    display.show(meter.read(clock.now(), clock.wallTime(), lagBytes));
    await pause(clock, display.intervalMs, signal);
  }
}

async function write(url: string, record: DemoRecord, options: Play & { stop: AbortSignal }): Promise<void> {
  const { clock, durationMs, rate, stop } = options;
  const wanted = Math.min(WRITERS.most, Math.max(WRITERS.least, Math.ceil(rate / WRITERS.rateOfOne)));
  const mix = options.allSinks === true ? mixForEverySink(rate) : PLACED_ONLY;
  const count = Math.min(wanted, record.organizations.length);
  const ids = record.organizations.map(({ organizationId }) => organizationId);
  const writers = Array.from({ length: count }, (_, writer) => {
    const organizationIds = ids.filter((_, index) => index % count === writer);
    const share = (rate * organizationIds.length) / ids.length;
    return new Writer({ url, organizationIds, rate: share, mix, record, random: seededRandom(writer + 1), clock });
  });
  const time = new AbortController();
  try {
    await Promise.all(writers.map((writer) => writer.connect()));
    const signal = AbortSignal.any([stop, time.signal]);
    const timer = clock.schedule(durationMs, () => time.abort());
    await Promise.all(writers.map((writer) => writer.run(signal))).finally(() => timer.cancel());
    await Promise.all(writers.map((writer) => writer.close()));
  } finally {
    time.abort();
    await Promise.allSettled(writers.map((writer) => writer.end()));
  }
}
