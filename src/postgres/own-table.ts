/** The outbox that comes with the schema; any other source table is one of the application's own, and is mapped. */
export const OWN_TABLE = 'walpost.outbox';
