/** Rows of walpost.endpoint_changes, as both plugins bring them. */
import pg from 'pg';
import { type EndpointChange, endpointState, headerTexts } from '../endpoint.ts';
import type { Origin } from '../event.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { decodeLatin1 } from '../wire-text.ts';
import type { Row } from './row.ts';

const SCHEMA = 'walpost';
const TABLE = 'endpoint_changes';
export const CHANGES_TABLE = `${SCHEMA}.${TABLE}`;
/** text[]; the driver's types name those of scalars alone. */
const TEXT_ARRAY: number = 1009;
const parseArray = pg.types.getTypeParser(TEXT_ARRAY, 'text') as (text: string) => readonly (string | null)[];

export function isChangesTable(schema: string, name: string): boolean {
  return schema === SCHEMA && name === TABLE;
}

/** A table of walpost beside the outbox. When this release reads nothing of it, a newer one has published it. */
export function isQuietTable(schema: string, name: string): boolean {
  return schema === SCHEMA && `${schema}.${name}` !== OWN_TABLE;
}

/** Reads a change by the names of its columns; those that a later release has added are left alone. */
export class EndpointChangeReader {
  private readonly places: ReadonlyMap<string, number>;

  constructor(columns: readonly { readonly name: string }[]) {
    this.places = new Map(columns.map(({ name }, index) => [name, index]));
  }

  /** Undefined when the row lacks what every change has. */
  read(row: Row, origin: Origin): EndpointChange | undefined {
    const text = (column: string): string | null => {
      const place = this.places.get(column);
      const latin1 = place === undefined ? null : row.latin1(place);
      return latin1 === null ? null : decodeLatin1(latin1);
    };
    const [changeId, endpointId, sink] = [text('change_id'), text('endpoint_id'), text('sink')];
    const [organizationId, change, state] = [text('organization_id'), text('change'), text('state')];
    if (changeId === null || endpointId === null || sink === null || organizationId === null) return undefined;
    if (change === null || state === null) return undefined;
    const rate = Number(text('max_per_second') ?? NaN);
    return {
      kind: 'endpoint_change',
      changeId,
      renewsSecrets: change === 'added' || change === 'secret',
      endpoint: {
        endpointId,
        sink,
        organizationId,
        url: text('url') ?? '',
        eventTypes: typesOf(text('event_types')),
        headers: headerTexts(text('headers') ?? '{}'),
        maxPerSecond: rate > 0 ? rate : null,
        state: endpointState(change, state),
      },
      origin,
    };
  }
}

function typesOf(array: string | null): readonly string[] {
  return array === null ? [] : parseArray(array).filter((type) => type !== null);
}
