import pg from 'pg';

export async function open(url) {
  const pool = new pg.Pool({ connectionString: url });
  return {
    async transaction(work) {
      const tx = await pool.connect();
      try {
        await tx.query('BEGIN');
        const result = await work(tx);
        await tx.query('COMMIT');
        return result;
      } catch (error) {
        await tx.query('ROLLBACK');
        throw error;
      } finally {
        tx.release();
      }
    },
    outside: pool,
    close: () => pool.end(),
  };
}
