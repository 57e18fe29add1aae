import { newId } from "../../base/id.ts";
import { limits } from "../../contract/limits.ts";
import type { Db } from "../pool.ts";

export interface Login {
  id: string;
  userId: string;
  /** What the newest refresh token names. */
  generation: number;
}

/** Two tabs of one browser may refresh with the same token at once: within this the second is no thief. */
const GRACE_SECONDS = 10;

/** Begins a sign-in. A few that are long over are forgotten on the way. */
export async function insertLogin({ sql }: Db, userId: string): Promise<Login> {
  const id = newId("login");
  await sql`
    with forgotten as (
      delete from logins where id in (select id from logins where expires_at < now() order by expires_at limit 10)
    )
    insert into logins (id, user_id, expires_at)
    values (${id}, ${userId}, now() + make_interval(secs => ${limits.refreshTokenSeconds}))`;
  return { id, userId, generation: 1 };
}

/**
 * Renews a sign-in with a refresh token of one generation. One that was used before is in two hands: the sign-in ends
 * for both.
 *
 * @returns null when the sign-in is over, or is over now
 */
export async function renewLogin({ sql }: Db, { id, userId, generation }: Login): Promise<Login | null> {
  const rows = await sql<{ generation: number | null }[]>`
    with login as (
      select id, generation, rotated_at from logins
       where id = ${id} and user_id = ${userId} and revoked_at is null and expires_at > now()
         for update
    ), renewed as (
      update logins
         set generation = login.generation + 1, rotated_at = now(),
             expires_at = now() + make_interval(secs => ${limits.refreshTokenSeconds})
        from login
       where logins.id = login.id and login.generation = ${generation}
      returning logins.generation
    ), ended as (
      update logins set revoked_at = now()
        from login
       where logins.id = login.id and login.generation <> ${generation}
         and not (login.generation = ${generation + 1}
                  and login.rotated_at > now() - make_interval(secs => ${GRACE_SECONDS}))
      returning logins.id
    )
    select case when not exists (select from ended)
                then coalesce((select generation from renewed), login.generation) end as generation
      from login`;
  const current = rows[0]?.generation ?? null;
  return current === null ? null : { id, userId, generation: current };
}

/** Ends a sign-in, at once. */
export async function endLogin({ sql }: Db, id: string): Promise<void> {
  await sql`update logins set revoked_at = now() where id = ${id} and revoked_at is null`;
}
