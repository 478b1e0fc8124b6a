/**
 * What a lane waits for. Every phase, and the phases that can follow:
 *
 *   idle                  --> idle gathering ready blocked backing_off
 *   gathering             --> ready blocked
 *   ready                 --> ready reading sending awaiting_visibility awaiting_dead_letters backing_off blocked idle
 *   awaiting_visibility   --> ready blocked
 *   awaiting_dead_letters --> ready blocked
 *   reading               --> sending ready gathering backing_off blocked idle
 *   sending               --> ready gathering backing_off blocked idle
 *   backing_off           --> ready blocked
 *   blocked               --> ready blocked
 *
 *              window closes        turn           batch of live events
 *   idle --> gathering --> ready ---------------------------------> sending --> ready, gathering, backing_off, blocked, idle
 *                            |  \--> reading (a parked lane) --------^
 *                            \-----> awaiting_visibility, awaiting_dead_letters, backing_off --> ready
 */
export type Phase =
  /** Nothing is held in memory. */
  | 'idle'
  /** A window is open. */
  | 'gathering'
  /** It stands in its sink's queue for a turn. */
  | 'ready'
  /** No snapshot sees its oldest transaction yet. */
  | 'awaiting_visibility'
  /** Its dead letters are not durable yet: after a crash they would come again, after later events that were sent meanwhile. */
  | 'awaiting_dead_letters'
  /** The next parked events are being read. */
  | 'reading'
  /** One batch is in flight. */
  | 'sending'
  /** It waits after a failure, for its rate, or before another read. */
  | 'backing_off'
  /** A dead letter waits for a person, or a person has paused it. */
  | 'blocked';

/** The phases that can follow each phase; everything else throws. */
export const TRANSITIONS: Readonly<Record<Phase, readonly Phase[]>> = {
  idle: ['idle', 'gathering', 'ready', 'blocked', 'backing_off'],
  gathering: ['ready', 'blocked'],
  ready: [
    'ready',
    'reading',
    'sending',
    'awaiting_visibility',
    'awaiting_dead_letters',
    'backing_off',
    'blocked',
    'idle',
  ],
  awaiting_visibility: ['ready', 'blocked'],
  awaiting_dead_letters: ['ready', 'blocked'],
  reading: ['sending', 'ready', 'gathering', 'backing_off', 'blocked', 'idle'],
  sending: ['ready', 'gathering', 'backing_off', 'blocked', 'idle'],
  backing_off: ['ready', 'blocked'],
  blocked: ['ready', 'blocked'],
};
