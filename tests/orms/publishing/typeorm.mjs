import { DataSource } from 'typeorm';

export async function open(url) {
  const source = await new DataSource({ type: 'postgres', url }).initialize();
  return { transaction: (work) => source.transaction(work), outside: source.manager, close: () => source.destroy() };
}
