import type pc from 'picocolors';

export type Paint = ReturnType<typeof pc.createColors>;
/** A line of the status; a name of '' goes on with the line above. */
export type StatusLine = [name: string, value: string];
