/** Everything that must be so when all is quiet. Knows the contract, and nothing of how the server does it. */
import { modelCount, whatIsKept } from '../catalogue.ts';
import type { Asked } from '../clients.ts';
import type { CrashablePostgres } from '../crashable-postgres.ts';
import { readLog } from '../log.ts';
import { recomputeAccounts } from './accounts.ts';
import { effectViolations } from './effects.ts';
import { recomputeItems } from './items.ts';
import { recomputeOrders } from './orders.ts';
import { requestViolations } from './requests.ts';
import { differences, type Expected } from './rows.ts';
import { recomputeTrade } from './trade.ts';

export interface Verdict {
  readonly events: number;
  readonly rows: number;
  readonly violations: readonly string[];
}

export async function check(
  postgres: CrashablePostgres,
  asked: readonly Asked[],
  rebateBps: number,
): Promise<Verdict> {
  const log = await readLog(postgres);
  const accounts = recomputeAccounts(log);
  const items = recomputeItems(log);
  const { orders, rebates } = recomputeOrders(log, rebateBps);
  const { balance, statement, earned } = accounts;
  const { stock, programme } = items;
  const tables: Readonly<Record<string, Expected>> = {
    balance,
    statement,
    orders,
    stock,
    programme,
    ...recomputeTrade(log),
  };
  const violations = [
    ...requestViolations(log, asked),
    ...effectViolations(log, rebates, earned),
    ...accounts.violations,
    ...items.violations,
  ];
  let rows = 0;
  const { models } = await whatIsKept(postgres);
  if (models.length !== modelCount)
    violations.push(`there are ${models.length} read models, not ${modelCount}`);
  for (const { name, table } of models) {
    const stored = await postgres.query(`select * from ${table}`);
    rows += stored.length;
    const expected = tables[name];
    violations.push(...(expected ? differences(name, expected, stored) : [`nobody recomputes ${name}`]));
  }
  return { events: log.length, rows, violations };
}
