/**
 * A lane: events of one organization for one sink, in order. Only this file changes its phase and its flags; lane-queue.ts
 * keeps its events, parked-part.ts counts its rows, phases.ts says which phase can follow which.
 *
 * Three things about a lane are independent of each other:
 *   turn    what it waits for now: its phase, a machine whose transitions are in phases.ts
 *   store   where its later events are: in memory (live), or in Postgres (`parked`). What a parked lane holds in memory is
 *           the front of the lane, and what arrives goes to Postgres behind it. It is live again when all is read back.
 *   owner   whose events go first: live ones, those of a job (`leadingJob`), or those of a redrive that passes a block
 *
 * One batch at a time is in flight and what arrives meanwhile queues behind it, so nothing overtakes. Events that were not
 * accepted return to the front.
 */
import type { Lsn } from '../../lsn.ts';
import { ownCopy } from '../../own-copy.ts';
import { OWN_LANE } from '../../pipeline.ts';
import { Block } from './block.ts';
import type { FailureState } from './failure-policy.ts';
import { LaneQueue } from './lane-queue.ts';
import { ParkedPart } from './parked-part.ts';
import { type Phase, TRANSITIONS } from './phases.ts';

/** What a lane is counted as: one that is paused or parked, or whose destination refuses everything, is so whatever it does. */
export type LaneState = Phase | 'paused' | 'parked' | 'refusing';

/** What the destination's last refusal was: our sentence, and its own words for operators. */
export interface LastFailure {
  readonly reason: string;
  readonly code?: string;
  readonly answer?: string;
}

export class Lane extends LaneQueue {
  readonly organizationId: string;
  /** OWN_LANE, or the name among the lanes of the organization. */
  readonly name: string;
  private currentPhase: Phase = 'idle';
  private windowEnd = 0;
  private trailingEnd = 0;
  private dueAt = 0;
  private isSlow = false;
  private isParkedWhenVisible = false;
  private deadLettersUnderWay = 0;
  private rowsBeingRemoved = 0;
  private failureState: FailureState | null = null;
  private last: LastFailure | null = null;
  private part: ParkedPart | null = null;
  private job: string | null = null;
  private block: Block | null = null;
  private isPaused = false;
  private isWaiting = false;
  private finish: Lsn | null = null;
  private over = false;
  private acceptedEvents = 0;

  constructor(organizationId: string, name: string) {
    super();
    this.organizationId = ownCopy(organizationId);
    this.name = name === OWN_LANE ? OWN_LANE : ownCopy(name);
  }

  // ── turn ───────────────────────────────────────────────────────────────────────────────────────────────────────

  get phase(): Phase {
    return this.currentPhase;
  }

  /** Throws when the phase cannot follow the one that the lane is in. */
  enter(phase: Phase): void {
    if (!TRANSITIONS[this.currentPhase].includes(phase)) {
      throw new Error(`a lane that is ${this.currentPhase} cannot become ${phase}`);
    }
    this.currentPhase = phase;
  }

  backOff(until: number): void {
    this.enter('backing_off');
    this.dueAt = until;
  }

  /** When a lane that backs off is ready again. */
  get backsOffUntil(): number {
    return this.dueAt;
  }

  /** The first of these that holds is what a person is told. */
  get state(): LaneState {
    if (this.paused) return 'paused';
    if (this.blocked) return 'blocked';
    if (this.refuses) return 'refusing';
    return this.parked ? 'parked' : this.phase;
  }

  /** It has a place in the sink's queue; it keeps that when it is held meanwhile, and has no second one. */
  get hasPlace(): boolean {
    return this.isWaiting;
  }

  setPlace(hasPlace: boolean): void {
    this.isWaiting = hasPlace;
  }

  /** When the window of the oldest queued event closes. */
  get closesAt(): number {
    return this.windowEnd;
  }

  joinWindow(closesAt: number): void {
    this.windowEnd = closesAt;
  }

  /** Until when an arriving event joins a window rather than leaving at once; for leading_edge. */
  get gathersUntil(): number {
    return this.trailingEnd;
  }

  gatherUntil(moment: number): void {
    this.trailingEnd = moment;
  }

  /** Its last attempt timed out: it may hold only a small part of the sink's concurrency. */
  get slow(): boolean {
    return this.isSlow;
  }

  setSlow(slow: boolean): void {
    this.isSlow = slow;
  }

  /** Events that its destination has accepted while the lane is kept. */
  get accepted(): number {
    return this.acceptedEvents;
  }

  addAccepted(count: number): void {
    this.acceptedEvents += count;
  }

  // ── failure ────────────────────────────────────────────────────────────────────────────────────────────────────

  get failure(): FailureState | null {
    return this.failureState;
  }

  setFailure(failure: FailureState | null): void {
    this.failureState = failure;
    if (failure === null) this.last = null;
  }

  /** Why the first event was not accepted when it was last tried; while there is a failure. */
  get lastFailure(): LastFailure | null {
    return this.last;
  }

  setLastFailure(last: LastFailure): void {
    this.last = last;
  }

  /** Its destination refuses everything that it is sent. */
  get refuses(): boolean {
    return typeof this.failureState?.probing?.refusingSince === 'number';
  }

  /** The events behind its first are tried now; all of it is in Postgres. */
  get asksBehind(): boolean {
    const step = this.failureState?.probing?.step;
    return (step === 'types' || step === 'behind') && this.length === 0 && this.part !== null;
  }

  /** Its dead letters that are not durable yet. */
  get pendingDeadLetters(): number {
    return this.deadLettersUnderWay;
  }

  /** One of its events becomes a dead letter; `blocks`: the lane waits then until a person has dealt with it. */
  expectDeadLetter(blocks: boolean): void {
    this.deadLettersUnderWay += 1;
    if (blocks) this.blockBy().add();
  }

  deadLetterStored(blocks: boolean): void {
    this.deadLettersUnderWay -= 1;
    if (blocks) this.block?.stored();
  }

  // ── store ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What it has in Postgres; null when the lane is live. */
  get parked(): ParkedPart | null {
    return this.part;
  }

  /** From now on what arrives goes to Postgres. */
  openPart(hasRows: boolean): ParkedPart {
    return (this.part ??= new ParkedPart(hasRows));
  }

  /** Nothing is in Postgres any more: the lane is live, with what has arrived. */
  closePart(): void {
    const incoming = this.part?.takeIncoming() ?? [];
    this.part = null;
    for (const event of incoming) this.push(event);
  }

  /** It is to be parked as soon as all it holds is visible. */
  get parksWhenVisible(): boolean {
    return this.isParkedWhenVisible;
  }

  parkWhenVisible(parks: boolean): void {
    this.isParkedWhenVisible = parks;
  }

  /** Rows of delivered events, and of dead letters, that are being removed. */
  get removing(): number {
    return this.rowsBeingRemoved;
  }

  startRemoving(count: number): void {
    this.rowsBeingRemoved += count;
  }

  removed(count: number): void {
    this.rowsBeingRemoved -= count;
  }

  // ── owner ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The job whose events go first; what is live waits behind it, in Postgres. */
  get leadingJob(): string | null {
    return this.job;
  }

  leadBy(job: string): void {
    this.job = job;
  }

  endLead(): void {
    this.job = null;
  }

  /** Dead letters hold it until a person has dealt with them. */
  get blocked(): Block | null {
    return this.block;
  }

  blockBy(): Block {
    return (this.block ??= new Block());
  }

  unblock(): void {
    this.block = null;
  }

  /** A redrive goes ahead of a lane that waits for a person. */
  get isPassing(): boolean {
    return this.job !== null && this.job === this.block?.passing;
  }

  /** A person has said that nothing of it is sent. */
  get paused(): boolean {
    return this.isPaused;
  }

  setPaused(paused: boolean): void {
    this.isPaused = paused;
  }

  /** Whether it has to wait for a person now. */
  get standsStill(): boolean {
    const { block } = this;
    if (this.isPaused) return true;
    return block !== null && (block.passing === null || this.first?.origin.job !== block.passing);
  }

  /**
   * A batch of a job is in flight and more events of the job wait. If those were parked now, the batch could only be parked
   * behind them when it returns, since rows are read in the order in which they were stored.
   */
  get keepsPlace(): boolean {
    return this.currentPhase === 'sending' && typeof this.first?.origin.job === 'string';
  }

  /** What passes a lane that stands still is not parked either. */
  get mayPark(): boolean {
    return !this.keepsPlace && !this.isPassing;
  }

  // ── end ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Where its destination ended, while what was committed before is still sent; null for a lane that goes on. */
  get finishesBy(): Lsn | null {
    return this.finish;
  }

  finishBy(at: Lsn | null): void {
    this.finish = at;
  }

  /** It was dropped: whatever still comes back to it is for nobody. */
  get isOver(): boolean {
    return this.over;
  }

  end(): void {
    this.over = true;
    this.part = null;
    this.job = null;
  }

  /** Nothing is left of it that anybody would miss. */
  get isForgettable(): boolean {
    if (this.length > 0 || this.part || this.job !== null || this.block) return false;
    return this.rowsBeingRemoved + this.deadLettersUnderWay === 0;
  }
}
