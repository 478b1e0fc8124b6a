import { Fifo } from '../../fifo.ts';
import { OWN_LANE } from '../../pipeline.ts';
import type { Lane } from './lane.ts';

/**
 * Lanes that are due, organization by organization: each has one place in the queue, whatever the number of its lanes, and
 * goes to the end when one of them has had its turn. So fifty lanes of an organization get one turn in n, like one lane.
 *
 * The last `reserve` turns that are free go only to organizations that have none, so that one whose lanes hang all at once
 * leaves room for others.
 */
export class TurnQueue {
  private readonly reserve: number;
  /** The lane of each organization that is next. */
  private readonly heads = new Fifo<Lane>();
  /** Those that may not take what is left. */
  private readonly aside = new Fifo<Lane>();
  /** Those that stand in the queue; known once a lane has come that is not its organization's own, and needs it. */
  private organizations: Set<string> | undefined;
  /** Further due lanes of an organization that has its place. */
  private readonly behind = new Map<string, Fifo<Lane>>();
  /** Turns that lanes beside the organization's own have. */
  private readonly turns = new Map<string, number>();
  private count = 0;

  constructor(reserve: number) {
    this.reserve = reserve;
  }

  /** Lanes that stand in the queue. */
  get length(): number {
    return this.count;
  }

  add(lane: Lane): void {
    const { organizationId } = lane;
    this.count += 1;
    if (lane.name !== OWN_LANE) this.organizations ??= this.standing();
    if (this.organizations?.has(organizationId) !== true) {
      this.organizations?.add(organizationId);
      this.heads.push(lane);
      return;
    }
    const others = this.behind.get(organizationId);
    if (others) others.push(lane);
    else this.behind.set(organizationId, fifoOf(lane));
  }

  /** The lane whose turn it is, with so many turns free; undefined when none may take one. */
  next(free: number): Lane | undefined {
    for (let lane = this.heads.shift(); lane; lane = this.heads.shift()) {
      if (free > this.reserve || lane.name === OWN_LANE || !this.turns.has(lane.organizationId)) {
        this.promote(lane.organizationId);
        this.count -= 1;
        return lane;
      }
      this.aside.push(lane);
    }
    return undefined;
  }

  take({ name, organizationId }: Lane): void {
    if (name !== OWN_LANE) this.turns.set(organizationId, (this.turns.get(organizationId) ?? 0) + 1);
  }

  giveBack({ name, organizationId }: Lane): void {
    this.lookAgain();
    if (name === OWN_LANE) return;
    const left = (this.turns.get(organizationId) ?? 0) - 1;
    if (left > 0) this.turns.set(organizationId, left);
    else this.turns.delete(organizationId);
  }

  /** More turns are free: those that might not take what was left are asked again. */
  lookAgain(): void {
    for (let lane = this.aside.shift(); lane; lane = this.aside.shift()) this.heads.push(lane);
  }

  private standing(): Set<string> {
    return new Set([...this.heads].map(({ organizationId }) => organizationId));
  }

  /** Its next lane takes the place at the end. */
  private promote(organizationId: string): void {
    if (!this.organizations) return;
    const others = this.behind.get(organizationId);
    const next = others?.shift();
    if (!next) {
      this.organizations.delete(organizationId);
      return;
    }
    this.heads.push(next);
    if (others?.length === 0) this.behind.delete(organizationId);
  }
}

function fifoOf(lane: Lane): Fifo<Lane> {
  const fifo = new Fifo<Lane>();
  fifo.push(lane);
  return fifo;
}
