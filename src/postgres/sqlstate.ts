/** The conditions that walpost tells apart. https://www.postgresql.org/docs/current/errcodes-appendix.html */
export const SQLSTATE = {
  connectionException: '08000',
  protocolViolation: '08P01',
  numericValueOutOfRange: '22003',
  nullValueNotAllowed: '22004',
  invalidParameterValue: '22023',
  untranslatableCharacter: '22P05',
  uniqueViolation: '23505',
  checkViolation: '23514',
  readOnlyTransaction: '25006',
  idleInTransactionTimeout: '25P03',
  invalidAuthorization: '28000',
  invalidPassword: '28P01',
  dependentObjectsStillExist: '2BP01',
  invalidCatalogName: '3D000',
  invalidSchemaName: '3F000',
  serializationFailure: '40001',
  deadlockDetected: '40P01',
  insufficientPrivilege: '42501',
  undefinedColumn: '42703',
  undefinedObject: '42704',
  duplicateObject: '42710',
  undefinedFunction: '42883',
  duplicateTable: '42P07',
  undefinedTable: '42P01',
  tooManyConnections: '53300',
  configurationLimitExceeded: '53400',
  programLimitExceeded: '54000',
  objectNotInPrerequisiteState: '55000',
  objectInUse: '55006',
  lockNotAvailable: '55P03',
  queryCanceled: '57014',
  adminShutdown: '57P01',
  crashShutdown: '57P02',
  cannotConnectNow: '57P03',
  databaseDropped: '57P04',
  idleSessionTimeout: '57P05',
} as const;

export type SqlState = (typeof SQLSTATE)[keyof typeof SQLSTATE];

/** The SQLSTATE of an error that the server sent; undefined for anything else, socket errors too. */
export function sqlStateOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('severity' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

export function isSqlState(error: unknown, ...states: readonly SqlState[]): boolean {
  const state = sqlStateOf(error);
  return state !== undefined && (states as readonly string[]).includes(state);
}
