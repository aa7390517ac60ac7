/** Whole tables for the audit, each as it is at one moment. */
import type pg from 'pg';
import { readPosition } from '../checkpoints.ts';
import type { PositionedRow } from '../../audit/refold.ts';
import type { WholeStorage } from '../../audit/whole.ts';
import { goneIsEmpty, holdsFrom, momentSql } from './rows.ts';
import { columnParsers, decodeRow, keyOf } from '../row-codec.ts';
import { checkpointValues } from '../serving.ts';
import { tableName, tableSql } from '../table-sql.ts';
import { inTransaction } from '../transaction.ts';

const pageSize = 2_000;

export const postgresWholeStorage = (pool: pg.Pool): WholeStorage => ({
  async size({ table }) {
    const { rows } = await pool
      .query<{ rows: string; bytes: string }>(
        `select count(*)::text as rows, coalesce(sum(octet_length(t::text)), 0)::text as bytes from ${tableName(table)} t`,
      )
      .catch(goneIsEmpty);
    return rows[0] && { rows: Number(rows[0].rows), bytes: Number(rows[0].bytes) };
  },

  snapshot(model, generation, take, signal) {
    const { table, selected, columns } = tableSql(model, generation.table);
    return inTransaction(pool, async (client) => {
      await client.query('set transaction isolation level repeatable read, read only');
      const { rows } = await client.query<{ position: string; parked: string; dropped: string }>(
        momentSql(1),
        checkpointValues(generation),
      );
      const [moment] = rows;
      if (!moment) return undefined;
      await client.query(`declare audit no scroll cursor for select ${selected}, position from ${table}`);
      for (let more = true; more;) {
        signal.throwIfAborted();
        const page = await client.query<unknown[]>({
          text: `fetch ${pageSize} from audit`,
          rowMode: 'array',
          types: columnParsers,
        });
        take(
          page.rows.flatMap((values): PositionedRow[] => {
            const row = decodeRow(columns, values);
            const position = values.at(-1);
            return typeof position === 'bigint' ? [{ key: keyOf(model.table.key, row), row, position }] : [];
          }),
        );
        more = page.rows.length === pageSize;
      }
      return { through: readPosition(moment.position), holds: holdsFrom(moment.parked, moment.dropped) };
    });
  },
});
