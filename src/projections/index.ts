/** All read models. */
import { balance } from './balance/balance.ts';
import type { ReadModel } from './engine/read-model.ts';
import { figures } from './figures/figures.ts';
import { leaderboard } from './leaderboard/leaderboard.ts';
import { orders } from './orders/orders.ts';
import { programme } from './programme/programme.ts';
import { statement } from './statement/statement.ts';
import { stock } from './stock/stock.ts';

export { balance, figures, leaderboard, orders, programme, statement, stock };

export const readModels: readonly ReadModel[] = [
  balance,
  statement,
  orders,
  stock,
  figures,
  leaderboard,
  programme,
];
