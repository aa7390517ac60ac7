/** The policies there are. */
import { orderRebate } from './order-rebate.ts';
import { orderStock } from './order-stock.ts';
import type { Policy } from './policy.ts';

/**
 * None handles what another one's commands produce: so a query that asks for effects has seen all of them when every
 * policy has seen an event once (test/domain/policy-effects.test.ts).
 */
export const policies: readonly Policy[] = [orderRebate, orderStock];
