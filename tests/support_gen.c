/* support_gen.c - see support_gen.h */
#include "support_gen.h"

#include <stdlib.h>
#include <string.h>

#include <weft/weft.h>

enum { SLOTS = 6, SCRIPT = 40, NOTES = 1 << 14, MADE = 256 };

enum step { YIELD, YIELD_FROM, NEXT, SEND, THROW, CLOSE, RETURN, STEPS };
enum deed { DO_NEXT, DO_SEND, DO_THROW, DO_CLOSE, DO_DESTROY, DO_CREATE, DEEDS };

/* A byte says the step, the next one its operand. */
struct script {
    const uint8_t *code;
    size_t         length;
    bool           obeys; /* ends with the error that it gets from a yield */
};

struct notes {
    size_t count;
    int    note[NOTES];
};

struct program {
    struct script  scripts[SLOTS];
    size_t         slots;
    const uint8_t *deeds;
    size_t         deed_count;
    bool           waits;
};

static void note(struct notes *notes, int what)
{
    if (notes->count < NOTES) notes->note[notes->count++] = what;
}

/* What is left of the bytes after the scripts is what the holder does. */
static void parse(struct program *p, const uint8_t *bytes, size_t size)
{
    memset(p, 0, sizeof *p);
    size_t at = 0;
    p->slots = at < size ? 1 + bytes[at++] % SLOTS : 1;
    for (size_t i = 0; i < p->slots && at < size; i++) {
        uint8_t head = bytes[at++];
        size_t  length = head % SCRIPT & ~(size_t)1;
        if (length > size - at) length = (size - at) & ~(size_t)1;
        p->scripts[i] = (struct script){bytes + at, length, head & 128};
        at += length;
    }
    p->deeds = bytes + at;
    p->deed_count = (size - at) / 2;
}

static int thrown(uint8_t operand)
{
    return -1 - operand % 40;
}

/* ---- for real --------------------------------------------------------------- */

struct world {
    struct program *program;
    struct notes    notes;
    weft_gen       *gens[SLOTS];
};

struct role {
    struct world *world;
    size_t        slot;
};

static void *pointer_to(uint8_t number)
{
    return (void *)(uintptr_t)number;
}

static void resume(struct world *w, enum step step, uint8_t operand)
{
    weft_gen *gen = w->gens[operand % w->program->slots];
    void     *value = pointer_to(255);
    int       result = step == NEXT    ? weft_gen_next(gen, &value)
                       : step == SEND  ? weft_gen_send(gen, pointer_to(operand), &value)
                       : step == THROW ? weft_gen_throw(gen, thrown(operand), &value)
                                       : weft_gen_close(gen);
    note(&w->notes, result);
    note(&w->notes, (int)(uintptr_t)value);
}

static int act(weft_gen *self, void *arg)
{
    struct role   *role = arg;
    struct world  *w = role->world;
    struct script *script = &w->program->scripts[role->slot];

    for (size_t pc = 0; pc < script->length; pc += 2) {
        uint8_t operand = script->code[pc + 1];
        void   *sent = NULL;
        int     result = 0;
        if (w->program->waits && operand % 3 == 0) weft_yield();
        switch (script->code[pc] % STEPS) {
        case YIELD:
            result = weft_gen_yield(self, pointer_to(operand), &sent);
            note(&w->notes, result ? result : (int)(uintptr_t)sent);
            break;
        case YIELD_FROM:
            result = weft_gen_yield_from(self, w->gens[operand % w->program->slots]);
            note(&w->notes, result);
            break;
        case RETURN: return (int8_t)operand;
        default: resume(w, script->code[pc] % STEPS, operand); break;
        }
        if (result < 0 && script->obeys) return result;
    }
    return 0;
}

static void create(struct world *w, size_t slot)
{
    struct role role = {w, slot};

    if (!w->gens[slot] && weft_gen_create(&w->gens[slot], act, &role, sizeof role)) abort();
}

static void destroy(struct world *w, size_t slot)
{
    weft_gen_destroy(w->gens[slot]);
    w->gens[slot] = NULL;
}

static void run(struct world *w)
{
    struct program *p = w->program;

    for (size_t i = 0; i < p->slots; i++) create(w, i);
    for (size_t i = 0; i < p->deed_count; i++) {
        uint8_t operand = p->deeds[2 * i + 1];
        switch (p->deeds[2 * i] % DEEDS) {
        case DO_NEXT: resume(w, NEXT, operand); break;
        case DO_SEND: resume(w, SEND, operand); break;
        case DO_THROW: resume(w, THROW, operand); break;
        case DO_CLOSE: resume(w, CLOSE, operand); break;
        case DO_DESTROY: destroy(w, operand % p->slots); break;
        case DO_CREATE: create(w, operand % p->slots); break;
        }
        for (size_t n = 0; n < p->slots; n++) {
            note(&w->notes, w->gens[n] ? weft_gen_done(w->gens[n]) : 2);
            note(&w->notes, weft_gen_result(w->gens[n]));
        }
    }
    for (size_t i = 0; i < p->slots; i++) destroy(w, i);
}

/* ---- by the model ------------------------------------------------------------ */

/* Generators by their number, as they were made: a slot may have had many. */
struct actor {
    struct script *script;
    size_t         pc;
    enum { FRESH, SUSPENDED, RUNNING, DELEGATED, DONE } state;
    bool begun;
    bool delegates;  /* stands at a yield_from */
    bool inner_gone; /* whose inner one was destroyed */
    int  inner, outer;
    int  result;
};

struct model {
    struct program *program;
    struct notes    notes;
    int             slots[SLOTS]; /* -1: empty */
    int             made;
    struct actor    actors[MADE];
};

/* What goes into a generator. */
struct input {
    int  sent, error;
    bool closing;
};

static void model_resume(struct model *m, enum step step, uint8_t operand);

/* One result of a yield or a yield_from: false, it ends with it. */
static bool model_takes(struct model *m, struct actor *a, int result, int noted)
{
    note(&m->notes, noted);
    a->pc += 2;
    if (result >= 0 || !a->script->obeys) return true;
    a->result = result;
    return false;
}

/* Whether it yields, *value; else it has ended. */
static bool model_run(struct model *m, int number, struct input in, int *value)
{
    struct actor *a = &m->actors[number];

    if (a->begun && !a->delegates && !model_takes(m, a, in.error, in.error ? in.error : in.sent)) return false;
    a->begun = true;
    for (;;) {
        if (a->delegates) {
            int result = in.error ? in.error : -ECANCELED;
            if (!a->inner_gone) {
                struct actor *inner = &m->actors[a->inner];
                if (model_run(m, a->inner, in, value)) return true;
                result = in.closing ? -ECANCELED : inner->result;
                inner->state = DONE;
            }
            a->delegates = a->inner_gone = false;
            if (!model_takes(m, a, result, result)) return false;
        }
        if (a->pc >= a->script->length) {
            a->result = 0;
            return false;
        }
        uint8_t       operand = a->script->code[a->pc + 1];
        int           other = m->slots[operand % m->program->slots];
        struct actor *inner = other < 0 ? NULL : &m->actors[other];
        in = (struct input){0, 0, false}; /* what came in is taken */
        switch (a->script->code[a->pc] % STEPS) {
        case YIELD: *value = operand; return true;
        case YIELD_FROM:
            if (inner && (inner->state == FRESH || inner->state == SUSPENDED)) {
                inner->state = DELEGATED;
                inner->outer = number;
                a->inner = other;
                a->delegates = true;
            } else {
                int result = !inner ? -EINVAL : inner->state == DONE ? inner->result : -EBUSY;
                if (!model_takes(m, a, result, result)) return false;
            }
            break;
        case RETURN: a->result = (int8_t)operand; return false;
        default:
            model_resume(m, a->script->code[a->pc] % STEPS, operand);
            a->pc += 2;
            break;
        }
    }
}

/* Runs the actor, which may be run; whether it yields. */
static bool model_go(struct model *m, int number, struct input in, int *value)
{
    struct actor *a = &m->actors[number];

    a->state = RUNNING;
    bool yields = model_run(m, number, in, value);
    a->state = yields ? SUSPENDED : DONE;
    return yields;
}

static void model_resume(struct model *m, enum step step, uint8_t operand)
{
    int           number = m->slots[operand % m->program->slots], value = 255, result;
    struct actor *a = &m->actors[number < 0 ? 0 : number];
    struct input  in = {step == SEND ? operand : 0,
                       step == THROW   ? thrown(operand)
                        : step == CLOSE ? -ECANCELED
                                        : 0,
                       step == CLOSE};

    if (number < 0) {
        result = -EINVAL;
    } else if (a->state == RUNNING || a->state == DELEGATED) {
        result = -EBUSY;
    } else if (a->state == DONE) {
        result = step == THROW ? in.error : 0;
    } else if (a->state == FRESH && step == SEND && in.sent) {
        result = -EINVAL;
    } else if (a->state == FRESH && (step == THROW || step == CLOSE)) {
        a->state = DONE;
        result = step == THROW ? in.error : 0;
    } else {
        int  yielded = 255;
        bool yields = model_go(m, number, in, &yielded);
        if (step == CLOSE) {
            result = yields ? -EBUSY : 0;
        } else {
            result = yields ? 1 : a->result < 0 ? a->result : 0;
            value = yielded;
        }
    }
    note(&m->notes, result);
    note(&m->notes, value);
}

static void model_create(struct model *m, size_t slot)
{
    if (m->slots[slot] >= 0) return;
    m->actors[m->made] = (struct actor){.script = &m->program->scripts[slot], .result = -ECANCELED};
    m->slots[slot] = m->made++;
}

static void model_destroy(struct model *m, size_t slot)
{
    int           number = m->slots[slot], value;
    struct actor *a = &m->actors[number < 0 ? 0 : number];

    if (number < 0) return;
    if (a->state == DELEGATED) {
        m->actors[a->outer].inner_gone = true;
        a->state = SUSPENDED;
    }
    if (a->state == SUSPENDED && model_go(m, number, (struct input){0, -ECANCELED, true}, &value) && a->delegates &&
        !a->inner_gone)
        m->actors[a->inner].state = SUSPENDED;
    m->slots[slot] = -1;
}

static void model_all(struct model *m)
{
    struct program *p = m->program;

    for (size_t i = 0; i < SLOTS; i++) m->slots[i] = -1;
    for (size_t i = 0; i < p->slots; i++) model_create(m, i);
    for (size_t i = 0; i < p->deed_count; i++) {
        uint8_t operand = p->deeds[2 * i + 1];
        switch (p->deeds[2 * i] % DEEDS) {
        case DO_NEXT: model_resume(m, NEXT, operand); break;
        case DO_SEND: model_resume(m, SEND, operand); break;
        case DO_THROW: model_resume(m, THROW, operand); break;
        case DO_CLOSE: model_resume(m, CLOSE, operand); break;
        case DO_DESTROY: model_destroy(m, operand % p->slots); break;
        case DO_CREATE: model_create(m, operand % p->slots); break;
        }
        for (size_t n = 0; n < p->slots; n++) {
            struct actor *a = m->slots[n] < 0 ? NULL : &m->actors[m->slots[n]];
            note(&m->notes, a ? a->state == DONE : 2);
            note(&m->notes, !a ? -EINVAL : a->state == DONE ? a->result : -EAGAIN);
        }
    }
    for (size_t i = 0; i < p->slots; i++) model_destroy(m, i);
}

bool gen_program_agrees(const uint8_t *bytes, size_t size, bool waits)
{
    struct program program;
    struct world  *world = calloc(1, sizeof *world);
    struct model  *model = calloc(1, sizeof *model);

    if (!world || !model) abort();
    parse(&program, bytes, size);
    if (program.deed_count > MADE - SLOTS) program.deed_count = MADE - SLOTS;
    program.waits = waits;
    world->program = model->program = &program;
    run(world);
    model_all(model);
    bool same = world->notes.count == model->notes.count &&
                !memcmp(world->notes.note, model->notes.note, world->notes.count * sizeof world->notes.note[0]);
    free(world);
    free(model);
    return same;
}
