import type { Clock, Timer } from '../clock.ts';
import { evaluate, livenessLimits, startLiveness } from './liveness.ts';
import type { Liveness, LivenessLimits } from './liveness.ts';

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** The server's own setting in milliseconds; 0 when it is switched off. */
  readonly walSenderTimeout: number;
  readonly sendStatus: () => void;
  readonly onSilence: (limit: number) => void;
}

/** The timer around the decisions of liveness.ts; it runs whatever the rest of the process is waiting for. */
export class Heartbeat {
  private readonly options: HeartbeatOptions;
  private readonly limits: LivenessLimits;
  private timer: Timer | undefined;
  private paused = false;
  private listeningSince = 0;
  private lastHeardAt: number;

  constructor(options: HeartbeatOptions) {
    this.options = options;
    this.limits = livenessLimits(options.walSenderTimeout);
    this.lastHeardAt = options.clock.now();
  }

  /** When the last byte arrived, on the clock's `now`. */
  get heardAt(): number {
    return this.lastHeardAt;
  }

  start(): void {
    this.heard();
    this.schedule(startLiveness(this.lastHeardAt, this.limits));
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  readonly heard = (): void => {
    this.lastHeardAt = this.options.clock.now();
  };

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.listeningSince = this.options.clock.now();
  }

  private schedule(liveness: Liveness): void {
    this.timer = this.options.clock.schedule(liveness.nextCheck, () => this.evaluate(liveness));
  }

  private evaluate(before: Liveness): void {
    const heardAt = Math.max(this.lastHeardAt, this.listeningSince);
    const senses = { now: this.options.clock.now(), heardAt, paused: this.paused };
    const verdict = evaluate(before, senses, this.limits);
    if (verdict.dead) return this.options.onSilence(this.limits.silenceLimit);
    this.schedule(verdict.state);
    if (verdict.sendStatus) this.options.sendStatus();
  }
}
