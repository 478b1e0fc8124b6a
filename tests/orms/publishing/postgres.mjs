import postgres from 'postgres';

export async function open(url) {
  const sql = postgres(url);
  return { transaction: (work) => sql.begin(work), outside: sql, close: () => sql.end() };
}
