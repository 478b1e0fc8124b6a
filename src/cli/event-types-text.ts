/** The file that `walpost types` writes. */
import { commentText, typeOfSchema } from './type-of-schema.ts';

/** One row of walpost.event_types. */
export interface EventType {
  readonly type: string;
  readonly version: number;
  readonly schema: unknown;
  readonly description: string | null;
}

export function eventTypesText(types: readonly EventType[]): string {
  const byType = new Map<string, EventType[]>();
  for (const each of types) byType.set(each.type, [...(byType.get(each.type) ?? []), each]);
  const newest = [...byType].map(([type, all]) => ({
    name: JSON.stringify(type),
    all,
    last: Math.max(...all.map(({ version }) => version)),
  }));
  const versions = newest.map(({ name, all }) => `  ${name}: {\n${all.map(versionText).join('')}  };\n`);
  const events = newest.map(({ name, last }) => `  ${name}: EventVersions[${name}][${last}];\n`);
  const numbers = newest.map(({ name, last }) => `  ${name}: ${last},\n`);
  return `// Written by \`walpost types\` from walpost.event_types. To change it, change the table and run the command again.

/** Payloads by event type and version. */
export interface EventVersions {
${versions.join('')}}

/** The payload of the newest version, by event type: createPublisher<Events>(versions). */
export interface Events {
${events.join('')}}

/** The newest version of each event type. */
export const versions = {
${numbers.join('')}} as const;
`;
}

function versionText({ version, schema, description }: EventType): string {
  return `${commentText(description ?? undefined, '    ')}    ${version}: ${typeOfSchema(schema, '    ')};\n`;
}
