/**
 * What goes wrong, drawn from the seed: each kind has its own timeline, so that faults meet each other in every order.
 * The seed repeats the plan; what the machine makes of it differs from run to run.
 */
import { pause, systemClock } from '../../src/clock.ts';
import type { Random } from '../../src/demo/transaction-plan.ts';
import { SINK_FAULTS } from './soak-receiver.ts';
import { type Member, type SoakStage, TAKEOVER_AFTER_MS } from './soak-stage.ts';

interface Timeline {
  /** Milliseconds between two, on average. */
  readonly every: number;
  readonly strike: () => Promise<void>;
}

export class Faults {
  readonly counts = new Map<string, number>();
  private readonly stage: SoakStage;
  private readonly random: Random;
  private readonly say: (line: string) => void;
  private readonly signal: AbortSignal;

  constructor(stage: SoakStage, given: { random: Random; say: (line: string) => void; signal: AbortSignal }) {
    this.stage = stage;
    this.random = given.random;
    this.say = given.say;
    this.signal = given.signal;
  }

  /** Resolves when the signal aborts and every fault has been taken back. */
  async run(): Promise<void> {
    const timelines: readonly Timeline[] = [
      { every: 4_500, strike: () => this.kill() },
      { every: 20_000, strike: () => this.stopProcess() },
      { every: 22_000, strike: () => this.restartServer() },
      { every: 9_000, strike: () => this.breakLine() },
      { every: 6_000, strike: () => this.upsetSink() },
    ];
    await Promise.all(timelines.map((timeline) => this.follow(timeline)));
  }

  private async follow({ every, strike }: Timeline): Promise<void> {
    for (;;) {
      await this.wait(every * (0.4 + this.random() * 1.2));
      if (this.signal.aborted) return;
      await strike();
    }
  }

  private async kill(): Promise<void> {
    const leader = await this.leader();
    const victim = leader ?? this.anyone();
    if (!victim.relay.signal('SIGKILL')) return;
    this.count(leader ? 'SIGKILL of the leader' : 'SIGKILL of a process that did not lead');
  }

  private async stopProcess(): Promise<void> {
    const victim = (await this.leader()) ?? this.anyone();
    if (!victim.relay.signal('SIGSTOP')) return;
    this.count('SIGSTOP for longer than the takeover time');
    await this.wait(TAKEOVER_AFTER_MS * 1.2 + this.random() * 3_000);
    victim.relay.signal('SIGCONT');
  }

  private async restartServer(): Promise<void> {
    const mode = this.random() < 0.5 ? 'fast' : 'immediate';
    this.count(`server restart, ${mode}`);
    const begun = performance.now();
    await this.stage.postgres.restart(mode);
    const took = performance.now() - begun;
    if (took > 10_000) this.say(`a ${mode} restart took ${Math.round(took / 1000)} s`);
  }

  private async breakLine(): Promise<void> {
    const { line } = (await this.leader()) ?? this.anyone();
    if (this.random() < 0.5) {
      this.count('connections cut');
      return line.cut();
    }
    this.count('connections half open');
    line.hold();
    await this.wait(500 + this.random() * 5_000);
    line.forward();
    if (this.random() < 0.5) line.cut();
  }

  private async upsetSink(): Promise<void> {
    const fault = SINK_FAULTS[Math.floor(this.random() * SINK_FAULTS.length)] ?? 'refuse';
    this.count(`sink: ${fault}`);
    this.stage.hook.fault = fault;
    await this.wait(500 + this.random() * 5_000);
    this.stage.hook.fault = null;
  }

  private async leader(): Promise<Member | undefined> {
    const { members } = this.stage;
    const leads = await Promise.all(members.map(({ relay }) => relay.isLeader()));
    return members.find((_, index) => leads[index]);
  }

  private anyone(): Member {
    const { members } = this.stage;
    return members[Math.floor(this.random() * members.length)] as Member;
  }

  private count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  private wait(ms: number): Promise<void> {
    return pause(systemClock, ms, this.signal);
  }
}
