/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#define SPIN_MAX     200000
#define IDLE_SOCKETS 40 /* the gateway's pool, and some */

static uint64_t now_ms(void *ctx)
{
	struct world *w = ctx;

	return w->sim.now_ms;
}

static void plan_for(void *ctx, const union sock_addr *to, struct fake_plan *plan)
{
	struct world *w = ctx;

	for (unsigned int i = w->n_plans; i > 0; i--)
		if (w->plans[i - 1].port == ntohs(to->in4.sin_port)) {
			*plan = w->plans[i - 1].plan;
			return;
		}
}

static void from_guest(void *ctx, struct mem_frame *f)
{
	struct world_guest *g = ctx;

	sim_trace_frame(g->peer.sim, "guest>", f);
	line_put(&g->from_guest, f);
}

static struct gateway *make_gateway(struct world *w)
{
	struct gateway_config c = {
		.loop = w->loop,
		.sock = sock_fake_host(w->host),
		.net_be = htonl(WORLD_NET),
		.mask_be = htonl(0xffffff00),
		.host_be = htonl(WORLD_HOST),
		.dns_be = htonl(WORLD_NET + 3),
		.dhcp_start_be = htonl(WORLD_GUEST),
		.mac = {{0x52, 0x55, 0x0a, 0x00, 0x02, 0x02}},
		.mtu = w->c.mtu,
		.no_peek_off = w->c.no_peek_off,
		.n_flows_max = w->c.n_flows_max,
		.restricted = w->c.restricted,
		.key = {{w->sim.seed, ~w->sim.seed}},
	};
	struct gateway *g = NULL;
	int r = gateway_new(&c, &g);

	sim_check(&w->sim, r == 0, "gateway_new: %d", r);
	return g;
}

static void add_port(struct world *w, struct world_guest *g)
{
	struct lan *lan = gateway_lan(w->gateway);
	const struct port_owner *owner = lan_owner(lan);
	uint32_t caps = (w->c.tso ? PORT_CAP_CSUM | PORT_CAP_TSO4 : 0u) | (w->c.csum ? PORT_CAP_CSUM : 0u);
	struct port *fault = NULL;
	int r = 0;

	if (w->c.faulty) {
		r = fault_port_new(w->loop, owner, &w->c.fault, &fault);
		sim_check(&w->sim, r == 0, "fault_port_new: %d", r);
		owner = fault_owner(fault);
	}
	r = mem_port_new(w->loop, owner, caps, w->c.n_queue, &g->mem);
	sim_check(&w->sim, r == 0, "mem_port_new: %d", r);
	if (fault)
		r = fault_port_wrap(fault, g->mem);
	g->outer = fault ? fault : g->mem;
	r = r < 0 ? r : lan_add_port(lan, g->outer);
	sim_check(&w->sim, r == 0, "lan_add_port: %d", r);
}

static void add_guest(struct world *w, unsigned int i)
{
	struct world_guest *g = &w->guests[i];
	bool csum = w->c.tso || w->c.csum;
	struct peer_config pc = {
		.sim = &w->sim,
		.mac = {{0x52, 0x54, 0x00, 0x12, 0x34, (uint8_t)(0x56 + i)}},
		.ip_be = htonl(WORLD_GUEST + i),
		.gateway_be = htonl(WORLD_HOST),
		.mtu = w->c.mtu,
		.rx_tso = w->c.tso,
		.tx_tso = w->c.tso,
		.rx_csum = csum,
		.tx_csum = csum,
		.faulty = w->c.faulty,
		.out = from_guest,
		.ctx = g,
	};

	peer_init(&g->peer, &pc);
	line_init(&g->to_guest, &w->sim, &w->c.to_guest);
	line_init(&g->from_guest, &w->sim, &w->c.from_guest);
	add_port(w, g);
}

static bool all_resolved(void *ctx)
{
	struct world *w = ctx;

	for (unsigned int i = 0; i < w->n_guests; i++) {
		if (w->guests[i].peer.have_gateway)
			continue;
		if (w->sim.now_ms % 1000 == 0)
			peer_arp(&w->guests[i].peer);
		return false;
	}
	return true;
}

struct world *world_new(const struct world_config *c)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	sim_init(&w->sim, c->seed, c->what ? c->what : "");
	w->c = *c;
	w->c.mtu = c->mtu ? c->mtu : 1500;
	w->c.n_queue = c->n_queue ? c->n_queue : 512;
	w->n_guests = c->n_guests ? c->n_guests : 1;
	w->next_port = 1024;
	int r = loop_new(&(struct loop_clock){now_ms, w}, &w->loop);
	sim_check(&w->sim, r == 0, "loop_new: %d", r);
	w->host = sock_fake_new(&(struct sock_fake_config){
		.sim = &w->sim, .loop = w->loop, .no_peek_off = c->no_peek_off, .plan = plan_for, .ctx = w});
	w->gateway = make_gateway(w);
	for (unsigned int i = 0; i < w->n_guests; i++)
		add_guest(w, i);
	for (int tries = 0; !all_resolved(w); tries++) {
		sim_check(&w->sim, tries < 1000, "no answer to ARP");
		world_pass(w, 1000 - w->sim.now_ms % 1000);
	}
	return w;
}

void world_free(struct world *w)
{
	w->gateway = gateway_free(w->gateway);
	sim_check(&w->sim, w->host->n_bad_calls == 0, "%llu calls on closed descriptors",
		(unsigned long long)w->host->n_bad_calls);
	sim_check(&w->sim, w->host->n_open == 0, "%u descriptors left open", w->host->n_open);
	for (unsigned int i = 0; i < w->n_guests; i++) {
		peer_done(&w->guests[i].peer);
		line_done(&w->guests[i].to_guest);
		line_done(&w->guests[i].from_guest);
	}
	sock_fake_free(w->host);
	loop_free(w->loop);
	free(w);
}

void world_plan(struct world *w, uint16_t port, const struct fake_plan *plan)
{
	sim_check(&w->sim, w->n_plans < WORLD_PLANS_MAX, "too many plans");
	w->plans[w->n_plans].port = port;
	w->plans[w->n_plans++].plan = *plan;
}

static void run_guest(struct world *w, struct world_guest *g)
{
	struct mem_frame *f;

	while (!g->paused && (f = line_take(&g->to_guest))) {
		peer_input(&g->peer, f);
		free(f);
	}
	if (!g->paused)
		peer_run(&g->peer);
	while ((f = line_take(&g->from_guest))) {
		mem_port_inject(g->mem, f->bytes, f->n_bytes, &f->offload);
		free(f);
	}
}

static bool take_frames(struct world *w, struct world_guest *g)
{
	struct mem_frame *f;
	bool any = false;

	if (g->take_ms != w->sim.now_ms) {
		g->take_ms = w->sim.now_ms;
		g->n_taken = 0;
	}
	while (!g->paused && (!w->c.take_per_ms || g->n_taken < w->c.take_per_ms) &&
		(f = mem_port_take(g->mem))) {
		g->n_taken++;
		sim_trace_frame(&w->sim, "<gw", f);
		peer_inspect(&g->peer, f);
		line_put(&g->to_guest, f);
		any = true;
	}
	return any;
}

static void step(struct world *w)
{
	w->n_steps++;
	for (unsigned int i = 0; i < w->n_guests; i++)
		run_guest(w, &w->guests[i]);
	(void)sock_fake_run(w->host);
	int r = loop_run_once(w->loop, 0);
	sim_check(&w->sim, r == 0, "loop_run_once: %d", r);
	for (unsigned int i = 0; i < w->n_guests; i++)
		(void)take_frames(w, &w->guests[i]);
	uint64_t held = sock_fake_held_bytes(w->host);

	w->max_held_bytes = MAX(w->max_held_bytes, held);
}

static uint64_t next_ms(struct world *w)
{
	uint64_t at_ms = loop_next_ms(w->loop), host_ms = sock_fake_next_ms(w->host);

	at_ms = MIN(at_ms, host_ms);
	for (unsigned int i = 0; i < w->n_guests; i++) {
		struct world_guest *g = &w->guests[i];
		uint64_t from_ms = line_next_ms(&g->from_guest), to_ms = line_next_ms(&g->to_guest);
		uint64_t peer_ms = peer_next_ms(&g->peer);

		at_ms = MIN(at_ms, from_ms);
		if (!g->paused)
			at_ms = MIN(at_ms, MIN(to_ms, peer_ms));
		/* There may be more to take. */
		if (!g->paused && w->c.take_per_ms && g->n_taken == w->c.take_per_ms)
			at_ms = MIN(at_ms, g->take_ms + 1);
	}
	return at_ms;
}

/* Steps until nothing more happens at this time. */
static void settle(struct world *w)
{
	for (unsigned int n = 0;; n++) {
		step(w);
		if (next_ms(w) > w->sim.now_ms)
			return;
		w->n_spin = MAX(w->n_spin, (uint64_t)n);
		sim_check(&w->sim, n < SPIN_MAX, "time stands still: loop %lld, host %lld, guest %lld ms",
			(long long)(loop_next_ms(w->loop) - w->sim.now_ms),
			(long long)(sock_fake_next_ms(w->host) - w->sim.now_ms),
			(long long)(peer_next_ms(&w->guests[0].peer) - w->sim.now_ms));
	}
}

static void advance(struct world *w, uint64_t to_ms)
{
	w->sim.now_ms = to_ms;
	int r = loop_run_once(w->loop, 0); /* timers, and what time the loop takes it to be */
	sim_check(&w->sim, r == 0, "loop_run_once: %d", r);
}

bool world_run(struct world *w, bool (*until)(void *ctx), void *ctx, uint64_t limit_ms)
{
	uint64_t end_ms = w->sim.now_ms + limit_ms;

	for (;;) {
		settle(w);
		if (until && until(ctx))
			return true;
		uint64_t at_ms = next_ms(w);

		if (at_ms > end_ms) {
			advance(w, end_ms);
			settle(w);
			return until && until(ctx);
		}
		advance(w, at_ms);
	}
}

void world_pass(struct world *w, uint64_t ms)
{
	(void)world_run(w, NULL, NULL, ms);
}

bool loser_lost(void *ctx, const struct mem_frame *f)
{
	struct loser *l = ctx;
	struct tcp t;
	size_t n;

	if (!sim_frame_tcp(f, &t, &n) || (t.flags & l->mask) != l->flags)
		return false;
	l->n_seen++;
	if (l->n_seen < l->first || l->n_seen > l->last)
		return false;
	l->n_lost++;
	return true;
}

static void pair_up(struct world *w, struct peer_tcp_config *config, struct fake_plan *plan, uint64_t n_up,
	uint64_t n_down)
{
	uint64_t up = rng_next(&w->sim.rng), down = rng_next(&w->sim.rng);

	config->app.send_seed = plan->app.recv_seed = up;
	config->app.recv_seed = plan->app.send_seed = down;
	config->app.send_bytes = n_up;
	plan->app.send_bytes = n_down;
	if (plan->app.echo)
		config->app.recv_seed = up;
	if (config->app.echo)
		plan->app.recv_seed = down;
	if (!config->iss) /* half of them wrap soon */
		config->iss = rng_below(&w->sim.rng, 2) ? 0xffffffff - rng_below(&w->sim.rng, 100000)
							: (uint32_t)rng_next(&w->sim.rng);
}

void world_open(struct world *w, unsigned int guest, struct peer_tcp_config config, struct fake_plan plan,
	uint64_t n_up, uint64_t n_down, struct world_conn *ret)
{
	uint16_t port = config.remote_port ? config.remote_port : w->next_port++;

	pair_up(w, &config, &plan, n_up, n_down);
	config.remote_be = config.remote_be ? config.remote_be : htonl(WORLD_SERVER);
	config.remote_port = port;
	config.local_port = config.local_port ? config.local_port : (uint16_t)(40000 + port);
	world_plan(w, port, &plan);
	*ret = (struct world_conn){.w = w, .port = port, .n_up = n_up, .n_down = n_down};
	ret->guest = peer_connect(&w->guests[guest].peer, &config);
}

void world_dial(struct world *w, unsigned int guest, struct peer_tcp_config config, struct fake_plan plan,
	uint64_t n_up, uint64_t n_down, struct world_conn *ret)
{
	uint16_t port = w->next_port++;
	struct gateway_forward f = {.fd = sock_fake_listen(w->host, port),
		.proto = IPPROTO_TCP,
		.guest_be = htonl(WORLD_GUEST + guest),
		.guest_port = port};
	int r = gateway_add_forward(w->gateway, &f);

	sim_check(&w->sim, r == 0, "gateway_add_forward: %d", r);
	pair_up(w, &config, &plan, n_up, n_down);
	if (guest < w->n_guests) /* else nobody has that address */
		peer_listen(&w->guests[guest].peer, port, &config);
	*ret = (struct world_conn){.w = w, .port = port, .n_up = n_up, .n_down = n_down};
	ret->host = sock_fake_dial(w->host, f.fd, htonl(WORLD_SERVER), (uint16_t)(50000 + port), &plan);
	sim_check(&w->sim, ret->host, "the backlog is full");
}

void world_find(struct world_conn *x)
{
	if (!x->host)
		for (struct fake_conn *c = x->w->host->conns; c; c = c->next)
			if (!c->inbound && ntohs(c->to.in4.sin_port) == x->port)
				x->host = c;
	if (!x->guest)
		for (unsigned int i = 0; i < x->w->n_guests; i++)
			for (struct peer_conn *c = x->w->guests[i].peer.conns; c; c = c->next)
				if (c->c.local_port == x->port)
					x->guest = c;
}

static bool is_finished(void *ctx)
{
	struct world_conn *x = ctx;

	world_find(x);
	if (!x->guest || !x->host)
		return false;
	if (x->guest->app.error || x->host->app.error)
		return true;
	return x->guest->app.fin_received && x->host->app.fin_received &&
	       (x->guest->state == PEER_TIME_WAIT || x->guest->state == PEER_CLOSED);
}

void world_finish(struct world_conn *x, uint64_t limit_ms)
{
	struct sim *sim = &x->w->sim;
	bool finished = world_run(x->w, is_finished, x, limit_ms);

	sim_check(sim, x->guest && x->host, "the connection was not made: guest %s, host %s",
		x->guest ? peer_state_name(x->guest->state) : "none", x->host ? "yes" : "no");
	const struct app *g = &x->guest->app, *h = &x->host->app;

	sim_check(sim, finished,
		"not finished: guest %s sent %llu received %llu of %llu fin %d; host sent %llu received %llu "
		"of %llu fin %d",
		peer_state_name(x->guest->state), (unsigned long long)g->n_sent,
		(unsigned long long)g->n_received, (unsigned long long)x->n_down, g->fin_received,
		(unsigned long long)h->n_sent, (unsigned long long)h->n_received, (unsigned long long)x->n_up,
		h->fin_received);
	sim_check(sim, !g->error && !h->error, "errors: guest %d, host %d", g->error, h->error);
	sim_check(sim, g->n_received == x->n_down && h->n_received == x->n_up,
		"the guest received %llu of %llu, the host %llu of %llu", (unsigned long long)g->n_received,
		(unsigned long long)x->n_down, (unsigned long long)h->n_received,
		(unsigned long long)x->n_up);
	sim_check(sim, !x->host->closed_unread && !x->host->reset_by_us,
		"the gateway reset a finished connection");
}

static bool is_reset(void *ctx)
{
	struct world_conn *x = ctx;

	world_find(x);
	return x->guest && x->host && (x->guest->app.error || x->guest->app.reset_sent) &&
	       (x->host->app.error || x->host->app.reset_sent);
}

void world_expect_reset(struct world_conn *x, uint64_t limit_ms)
{
	bool reset = world_run(x->w, is_reset, x, limit_ms);

	sim_check(&x->w->sim, x->guest && x->host, "the connection was not made");
	sim_check(&x->w->sim, reset, "not reset: guest %s error %d reset %d, host error %d reset %d",
		peer_state_name(x->guest->state), x->guest->app.error, x->guest->app.reset_sent,
		x->host->app.error, x->host->app.reset_sent);
}

void world_expect_idle(struct world *w)
{
	world_pass(w, 200000);
	sim_check(&w->sim, w->host->n_open <= IDLE_SOCKETS, "%u descriptors open with nothing to do",
		w->host->n_open);
}
