/** The audit's storage in Postgres. */
import type pg from 'pg';
import type { AuditStorage } from '../../audit/storage.ts';
import * as findings from './findings.ts';
import * as rows from './rows.ts';

export const postgresAuditStorage = (pool: pg.Pool): AuditStorage => ({
  look: (model, generation, which) => rows.look(pool, model, generation, which),
  missing: (model, generation, keys) => rows.missing(pool, model, generation, keys),
  totals: (generation) => rows.totals(pool, generation),
  load: () => findings.load(pool),
  save: (held, from, state) => findings.save(pool, held, from, state),
  note: (generation, key, found) => findings.note(pool, generation, key, found),
  open: (generation) => findings.open(pool, generation),
  report: () => findings.report(pool),
  findings: (limit) => findings.findings(pool, limit),
});
