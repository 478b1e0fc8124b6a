/**
 * Tells the receiver of `alerts.url` what is wrong. Only the leader does, beside its work: with a connection of its own, and
 * whatever fails here is tried again and ends nothing else.
 */
import type pg from 'pg';
import type { Clock } from '../../clock.ts';
import type { AlertsConfig } from '../../config/alerts.ts';
import type { Logger } from '../../observe/log.ts';
import type { Alert } from '../../observe/status-report.ts';
import type { Verdict } from '../../pipeline.ts';
import { startChores } from '../chores.ts';
import type { RelayDependencies } from '../dependencies.ts';
import type { LeaderTerm } from '../term.ts';
import { AlertLooks } from './alert-looks.ts';
import { alertMessage } from './alert-message.ts';
import type { AlertWebhook } from './alert-webhook.ts';
import { type ToldAlert, ToldAlerts } from './told-alerts.ts';

/** After the first failure in a row, the second, and so on; the last one repeats. */
const WAITS_MS = [5_000, 15_000, 60_000, 300_000] as const;
const LONGEST_WAIT_MS = 300_000;
/** Between two looks, so that a slow receiver does not keep the leader from looking. */
const MOST_AT_ONCE = 20;

/** All alerts that hold now, as `walpost status` has them; undefined while they are not known. */
type ReadAlerts = (pool: pg.Pool) => Promise<readonly Alert[] | undefined>;

export class AlertPush implements AsyncDisposable {
  private readonly config: AlertsConfig;
  private readonly log: Logger;
  private readonly clock: Clock;
  private readonly webhook: AlertWebhook;
  private failures = 0;
  private nextTry = -Infinity;

  private constructor(config: AlertsConfig, { log, clock }: RelayDependencies, webhook: AlertWebhook) {
    this.config = config;
    this.log = log;
    this.clock = clock;
    this.webhook = webhook;
  }

  /** Undefined without the section `alerts`. */
  static async open(options: RelayDependencies): Promise<AlertPush | undefined> {
    const { alerts } = options.config;
    if (alerts === undefined) return undefined;
    const { AlertWebhook } = await import('./alert-webhook.ts');
    return new AlertPush(alerts, options, new AlertWebhook(alerts, options.clock));
  }

  /** Tells, until what this gives back is disposed. */
  lead(term: LeaderTerm, read: ReadAlerts): AsyncDisposable {
    const { log, clock } = this;
    const pool = term.openPool('walpost alerts', 1);
    const told = new ToldAlerts(pool, term.cursor);
    const looks = new AlertLooks();
    const round = async (signal: AbortSignal): Promise<void> => {
      const alerts = await read(pool);
      if (alerts !== undefined) await told.note(looks.look(await told.read(), this.wanted(alerts)));
      if (clock.now() >= this.nextTry) await this.tell(term.slot, told, signal);
    };
    return startChores([{ name: 'telling alerts', every: this.config.every, run: round }], {
      clock,
      log,
      onFatal: (error) => {
        if (error.code !== 'LEADERSHIP_LOST') log.error({ err: error, remedy: error.remedy }, 'alerts are not told');
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.webhook[Symbol.asyncDispose]();
  }

  private wanted(alerts: readonly Alert[]): readonly Alert[] {
    const { min_severity: least } = this.config;
    return least === 'critical' ? alerts.filter(({ severity }) => severity === 'critical') : alerts;
  }

  /** In order, so it stops at the first that is not accepted. */
  private async tell(slot: string, told: ToldAlerts, signal: AbortSignal): Promise<void> {
    const news = (await told.read()).filter(isNews).slice(0, MOST_AT_ONCE);
    for (const alert of news) {
      const verdict = await this.webhook.send(alertMessage(slot, alert), signal);
      if (signal.aborted) return;
      if (verdict.kind !== 'delivered') return this.failed(verdict);
      this.succeeded();
      await told.accepted(alert);
    }
  }

  private failed(verdict: Exclude<Verdict, { kind: 'delivered' }>): void {
    const { reason, code } = verdict;
    const asked = verdict.kind === 'unavailable' ? (verdict.retryAfter ?? 0) : 0;
    const usual = WAITS_MS[this.failures] ?? LONGEST_WAIT_MS;
    this.nextTry = this.clock.now() + Math.min(LONGEST_WAIT_MS, Math.max(usual, asked));
    this.failures += 1;
    const remedy = 'Repair the receiver of alerts.url, or its address. What it missed is sent then.';
    if (this.failures === 1) this.log.warn({ reason, code, remedy }, 'alerts cannot be told, and are tried again');
  }

  private succeeded(): void {
    if (this.failures > 0) this.log.info({ failures: this.failures }, 'alerts can be told again');
    this.failures = 0;
    this.nextTry = -Infinity;
  }
}

/** Not what holds and was told. */
function isNews({ toldAt, endedAt }: ToldAlert): boolean {
  return endedAt !== null || toldAt === null;
}
