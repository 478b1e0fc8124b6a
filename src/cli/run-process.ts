/**
 * The process around a relay: its log, its metrics, its HTTP server, its signals.
 *
 * The first SIGTERM or SIGINT lets the relay deliver and confirm what it holds, for a bounded time, and the process ends
 * with 0; what was left comes again from the slot. A second signal ends at once, with 1.
 */
import { systemClock, type Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { boundedCall } from '../observe/bounded-call.ts';
import { assessHealth } from '../observe/health.ts';
import { createLog, type Logger } from '../observe/log.ts';
import { LoopLag } from '../observe/loop-lag.ts';
import { Metrics } from '../observe/metrics.ts';
import type { RunningRelay } from '../observe/status-report.ts';
import { VERSION } from '../version.ts';
import { EXIT, exitCodeOf } from './exit-code.ts';
import { printError } from './print-error.ts';
import { serveHttp, type HttpService } from './serve-http.ts';

export interface RelayParts {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

const STATUS_LIMIT_MS = 5_000;
/** Beyond one attempt: confirming, and closing connections. */
const DRAIN_MARGIN_MS = 10_000;
/** Then all is done that matters, and only connections are left, to a server that may never answer again. */
const CLOSE_LIMIT_MS = 1_500;
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** Resolves with the exit code. */
export async function runProcess(
  config: Config,
  create: (parts: RelayParts) => RunningRelay,
  drainMarginMs = DRAIN_MARGIN_MS,
): Promise<number> {
  const log = createLog(config.log);
  const metrics = new Metrics(Object.keys(config.sinks));
  try {
    await using relay = create({ config, log, metrics, clock: systemClock });
    using loopLag = new LoopLag();
    await using http = await serve(config, { relay, metrics, loopLag, log });
    const { address, port } = http?.address ?? {};
    log.info({ version: VERSION, pid: process.pid, ...(port !== undefined && { address, port }) }, 'walpost starts');
    await runUntilSignal(relay, { log, drainLimitMs: config.delivery.timeout + drainMarginMs });
    log.info('walpost ends');
    return EXIT.done;
  } catch (error) {
    report(error, config, log);
    return exitCodeOf(error);
  }
}

async function serve(
  config: Config,
  around: { relay: RunningRelay; metrics: Metrics; loopLag: LoopLag; log: Logger },
): Promise<HttpService | undefined> {
  const { relay, metrics, loopLag, log } = around;
  const status = boundedCall(() => relay.status(), STATUS_LIMIT_MS);
  metrics.collectFrom(status);
  const { enabled, host, port, token } = config.http;
  if (!enabled) return undefined;
  const options = {
    host,
    port,
    token,
    health: () => assessHealth({ loopLag: loopLag.milliseconds() }),
    readiness: () => relay.readiness(),
    status,
    metrics,
  };
  return serveHttp(options, { log, clock: systemClock });
}

async function runUntilSignal(
  relay: RunningRelay,
  { log, drainLimitMs }: { log: Logger; drainLimitMs: number },
): Promise<void> {
  const stop = new AbortController();
  let draining: Promise<void> | undefined;
  const drain = async (signal: NodeJS.Signals): Promise<void> => {
    log.info({ signal }, 'told to stop: delivering and confirming what is held');
    try {
      await boundedCall(() => relay.drain(), drainLimitMs)();
    } catch (error) {
      log.warn(`not everything was confirmed, the rest comes again: ${messageOf(error)}`);
    }
    stop.abort();
    endSoon(log);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (draining) {
      log.warn({ signal }, 'told to stop a second time: ending at once, and what is not confirmed comes again');
      process.exit(EXIT.failed);
    }
    draining = drain(signal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    await relay.run(stop.signal);
    await draining;
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

/** Does nothing when nothing keeps the process alive any more. */
function endSoon(log: Logger): void {
  const end = (): void => {
    log.warn('some connections did not close in time: ending all the same');
    process.exit(EXIT.done);
  };
  setTimeout(end, CLOSE_LIMIT_MS).unref();
}

/** Where the log is read by machines, the last words are a line of the log. */
function report(error: unknown, config: Config, log: Logger): void {
  const pretty = config.log.format === 'pretty' || (config.log.format === undefined && process.stderr.isTTY);
  if (pretty || !log.isLevelEnabled('error')) return printError(error, process.stderr, config.log.level === 'debug');
  const remedy = error instanceof WalpostError ? { remedy: error.remedy } : {};
  log.error({ err: error, ...remedy }, 'walpost cannot go on');
}
