/** What operators did, and to what: recorded in the transaction in which it is done. */
import type pg from 'pg';
import { plain } from '../checkpoints.ts';

export interface OperatorAction {
  readonly who: string;
  /** "rebuild", "retry-parked" … */
  readonly action: string;
  /** What it was done to: "balance/2", with a scope if it is about parked events. */
  readonly subject: string;
  readonly detail?: Readonly<Record<string, string | number | boolean>>;
}

export async function recordAction(
  client: pg.PoolClient,
  { who, action, subject, detail = {} }: OperatorAction,
): Promise<void> {
  await client.query(
    'insert into tallyback.operator_action (who, action, subject, detail) values ($1, $2, $3, $4)',
    [plain(who), action, plain(subject), JSON.stringify(detail)],
  );
}
