/**
 * Which lane of its organization an event goes to, by the `order` of a sink. Pure: after a restart, and in a later release,
 * an event must find the lane again in which others of its kind are parked.
 */
import { hash } from 'node:crypto';
import type { Event } from '../../event.ts';
import { type LaneRule, OWN_LANE } from '../../pipeline.ts';

export type Order = 'organization' | 'entity' | 'none';

/** Shared by all events, so that none costs an array. */
const OWN_ONLY: readonly string[] = [OWN_LANE];

const byOrganization: LaneRule = { lanesFor: () => OWN_ONLY, laneAgain: () => OWN_LANE };

const byEntity: LaneRule = {
  lanesFor: (event) => (event.entityId === null ? OWN_ONLY : [laneOfEntity(event)]),
  laneAgain: laneOfEntity,
};

/** `none` gathers like `organization`: an event leaves the lane when it has failed alone, see apart.ts. */
export const LANE_RULES: Readonly<Record<Order, LaneRule>> = {
  organization: byOrganization,
  entity: byEntity,
  none: byOrganization,
};

/** A hash, since the name of a lane is shown and an id may be of a person; of 64 bits, so that no two entities share one. */
export function laneOfEntity({ entityType, entityId }: Pick<Event, 'entityType' | 'entityId'>): string {
  if (entityId === null) return OWN_LANE;
  return hash('sha256', JSON.stringify([entityType, entityId]), 'hex').slice(0, 16);
}
