/** The routes in SQL, so that a dry run counts what the router would send, and to whom. */
import type { RouteConfig } from '../config/schema.ts';
import { likePattern } from '../postgres/like-pattern.ts';
import { DEFAULT_TOPIC, textOf, type Values } from './job-filter.ts';

/** Where an event would go. */
export interface Routing {
  readonly routes: readonly RouteConfig[];
  /** All sinks by name. */
  readonly sinks: readonly string[];
  /** Of the sinks that the routes name only these. */
  readonly only?: readonly string[] | undefined;
}

/** The SQL of each field that a route may match; undefined where the table has no such column. */
export type RouteColumns = Readonly<Record<keyof RouteConfig['match'], string | undefined>>;

/** Whether the row goes to this sink. */
export function routedTo(sink: string, { routes }: Routing, columns: RouteColumns, values: Values): string {
  return anyOf(
    routes.filter(({ to }) => to.includes(sink)),
    columns,
    values,
  );
}

/** Whether any route matches the row. */
export function isRouted({ routes }: Routing, columns: RouteColumns, values: Values): string {
  return anyOf(routes, columns, values);
}

/** The sinks that are asked for. */
export function sinksOf({ sinks, only }: Routing): readonly string[] {
  return only === undefined ? sinks : sinks.filter((sink) => only.includes(sink));
}

function anyOf(routes: readonly RouteConfig[], columns: RouteColumns, values: Values): string {
  if (routes.length === 0) return 'false';
  return `(${routes.map(({ match }) => conditionOf(match, columns, values)).join(' OR ')})`;
}

function conditionOf(match: RouteConfig['match'], columns: RouteColumns, values: Values): string {
  const conditions = (Object.keys(match) as (keyof typeof match)[]).flatMap((field) => {
    const pattern = match[field];
    if (pattern === undefined) return [];
    const text = textOf(columns[field]);
    const value = field === 'topic' ? `coalesce(${text}, '${DEFAULT_TOPIC}')` : text;
    return [`coalesce((${value}) LIKE ${values.add(likePattern(pattern))}, false)`];
  });
  return conditions.length === 0 ? 'true' : `(${conditions.join(' AND ')})`;
}
