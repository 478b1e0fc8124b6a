/**
 * When to speak, and when silence means that the other end is gone.
 *
 * The server drops a standby that says nothing for `wal_sender_timeout`, so a status leaves every third of it. Our own
 * statuses keep the server from asking, and a healthy idle server then says nothing at all; so each of them asks for an
 * answer. Twice the timeout without one byte is then a dead connection: a pulled cable, a stopped walsender, a firewall
 * that forgot us.
 *
 * Silence is only what was listened to. While the socket is paused nothing can be heard, and time in which the process
 * itself did not run (a blocked event loop, a suspended machine) counts as one planned interval at most.
 *
 * These are decisions of numbers: the caller owns the clock and the timer, and calls `look` when `nextLook` has passed.
 */
export interface LivenessLimits {
  /** A status leaves this often, in milliseconds. */
  readonly statusEvery: number;
  /** Silence of this length is death. */
  readonly silenceLimit: number;
}

/** Used where the server has its timeout switched off. */
const TIMEOUT_WHEN_DISABLED = 30_000;

export function livenessLimits(walSenderTimeout: number): LivenessLimits {
  const timeout = walSenderTimeout > 0 ? walSenderTimeout : TIMEOUT_WHEN_DISABLED;
  return { statusEvery: timeout / 3, silenceLimit: timeout * 2 };
}

export interface Liveness {
  /** When this was worked out. */
  readonly lookedAt: number;
  /** Silence listened to so far. */
  readonly silence: number;
  /** When the last periodic status left. */
  readonly statusAt: number;
  /** How long to wait before the next look. */
  readonly nextLook: number;
}

export interface Senses {
  readonly now: number;
  /** When the last byte arrived. */
  readonly heardAt: number;
  readonly paused: boolean;
}

export interface LivenessVerdict {
  readonly state: Liveness;
  readonly sendStatus: boolean;
  readonly dead: boolean;
}

export function startLiveness(now: number, limits: LivenessLimits): Liveness {
  return { lookedAt: now, silence: 0, statusAt: now, nextLook: limits.statusEvery };
}

export function look(before: Liveness, senses: Senses, limits: LivenessLimits): LivenessVerdict {
  const { now } = senses;
  const silence = silenceAt(before, senses);
  const sendStatus = now - before.statusAt >= limits.statusEvery;
  const statusAt = sendStatus ? now : before.statusAt;
  const untilStatus = statusAt + limits.statusEvery - now;
  const untilDeath = senses.paused ? untilStatus : limits.silenceLimit - silence;
  return {
    state: { lookedAt: now, silence, statusAt, nextLook: Math.max(1, Math.min(untilStatus, untilDeath)) },
    sendStatus,
    dead: silence >= limits.silenceLimit,
  };
}

function silenceAt(before: Liveness, { now, heardAt, paused }: Senses): number {
  if (paused) return 0;
  const listened = Math.min(now - before.lookedAt, before.nextLook);
  if (heardAt >= before.lookedAt) return Math.min(now - heardAt, listened);
  return before.silence + listened;
}
