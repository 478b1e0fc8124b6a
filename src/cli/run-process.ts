/**
 * The process around a relay: its log, its metrics, its HTTP server, its signals (run-signals.ts).
 *
 * The first SIGTERM or SIGINT lets the relay deliver and confirm what it holds, for a bounded time, and the process ends
 * with 0; what was left comes again from the slot. SIGHUP with a good file does the same to the relay, and then all of this is
 * made anew from the file.
 */
import { systemClock } from '../clock.ts';
import { longestAttempt } from '../config/longest-attempt.ts';
import type { Config } from '../config/schema.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { boundedCall } from '../observe/bounded-call.ts';
import { assessHealth } from '../observe/health.ts';
import { createLog, type Logger } from '../observe/log.ts';
import { LoopLag } from '../observe/loop-lag.ts';
import { Metrics } from '../observe/metrics.ts';
import type { RunningRelay } from '../observe/status-report.ts';
import type { RelayDependencies } from '../relay/dependencies.ts';
import { openTraces } from '../observe/tracing/open-traces.ts';
import { VERSION } from '../version.ts';
import { EXIT, exitCodeOf } from './exit-code.ts';
import { printError } from './print-error.ts';
import type { HttpService } from '../http/listen-when-free.ts';
import { serveHttp } from '../http/serve.ts';
import { RunSignals } from './run-signals.ts';

const STATUS_LIMIT_MS = 5_000;
/** How long a graceful stop may take beyond the longest attempt: deliveries, the confirmation, closing connections. */
const STOP_MARGIN_MS = 10_000;
/** Then all is done that matters, and only connections are left, to a server that may never answer again. */
const CLOSE_LIMIT_MS = 1_500;

export interface RunSource {
  readonly config: Config;
  /** About the configuration, for the log. */
  readonly warnings?: readonly string[];
  /** Reads the configuration again and logs what it finds; undefined when the old one has to stay. */
  readonly readAgain?: (log: Logger) => Config | undefined;
}

type CreateRelay = (dependencies: RelayDependencies) => RunningRelay;

/** Resolves with the exit code. */
export async function runProcess(
  source: RunSource,
  create: CreateRelay,
  stopMarginMs = STOP_MARGIN_MS,
): Promise<number> {
  const run = new Run(source, create, stopMarginMs);
  using _signals = run.signals;
  try {
    await run.untilStopped();
    run.signals.log.info('walpost ends');
    return EXIT.done;
  } catch (error) {
    report(error, run.config, run.signals.log);
    return exitCodeOf(error);
  }
}

/** One relay after the other, each with the configuration that was last read. */
class Run {
  config: Config;
  readonly signals: RunSignals;
  private readonly source: RunSource;
  private readonly create: CreateRelay;
  private readonly stopMarginMs: number;
  private relay: RunningRelay | undefined;
  /** What the relay runs with; `config` may be newer. */
  private running: Config;
  private ending = new AbortController();
  private draining: Promise<void> | undefined;
  private isStopping = false;
  private isFirst = true;

  constructor(source: RunSource, create: CreateRelay, stopMarginMs: number) {
    this.source = source;
    this.config = source.config;
    this.running = source.config;
    this.create = create;
    this.stopMarginMs = stopMarginMs;
    this.signals = new RunSignals(createLog(this.config.log), {
      onStop: (signal) => this.stop(signal),
      onReload: () => this.reload(),
    });
  }

  async untilStopped(): Promise<void> {
    for (const warning of this.source.warnings ?? []) this.signals.log.warn(warning);
    while (!this.isStopping) {
      this.ending = new AbortController();
      this.draining = undefined;
      await this.runRelay(this.config);
      this.relay = undefined;
      if (this.draining === undefined) return; // it ended by itself
    }
  }

  private async runRelay(config: Config): Promise<void> {
    this.running = config;
    const log = this.isFirst ? this.signals.log : (this.signals.log = createLog(config.log));
    const metrics = new Metrics(Object.keys(config.sinks));
    await using traces = await openTraces(process.env, systemClock);
    await using relay = this.create({ config, log, metrics, clock: systemClock, traces });
    using loopLag = new LoopLag();
    await using http = await serve(config, { relay, metrics, loopLag, log });
    const { address, port } = http?.address ?? {};
    const words = this.isFirst ? 'walpost starts' : 'walpost goes on with the configuration as it is now';
    this.isFirst = false;
    log.info({ version: VERSION, pid: process.pid, ...(port !== undefined && { address, port }) }, words);
    this.relay = relay;
    if (this.draining) this.ending.abort(); // a signal came before there was anything to drain
    await relay.run(this.ending.signal);
    await this.draining;
  }

  private stop(signal: NodeJS.Signals): void {
    const { log } = this.signals;
    log.info({ signal }, 'told to stop: delivering and confirming what is held');
    this.isStopping = true;
    const drained = this.draining ?? this.drain();
    this.draining = drained;
    void drained.then(() => endSoon(log));
  }

  private reload(): void {
    const { log } = this.signals;
    log.info({ signal: 'SIGHUP' }, 'told to read the configuration again');
    const config = this.source.readAgain?.(log);
    if (config === undefined) return;
    this.config = config;
    this.draining ??= this.drain();
  }

  private async drain(): Promise<void> {
    const { relay, ending } = this;
    const { log } = this.signals;
    try {
      const limit = longestAttempt(this.running) + this.stopMarginMs;
      if (relay) await boundedCall(() => relay.drain(), limit)();
    } catch (error) {
      log.warn(`not everything was confirmed, the rest comes again: ${messageOf(error)}`);
    }
    ending.abort();
  }
}

async function serve(
  config: Config,
  { relay, metrics, loopLag, log }: { relay: RunningRelay; metrics: Metrics; loopLag: LoopLag; log: Logger },
): Promise<HttpService | undefined> {
  const status = boundedCall(() => relay.status(), STATUS_LIMIT_MS);
  const numbers = boundedCall(() => relay.numbers(), STATUS_LIMIT_MS);
  metrics.collectFrom(numbers, () => relay.readiness());
  metrics.measureLoop(() => loopLag.milliseconds());
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
