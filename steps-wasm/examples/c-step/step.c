// The step "greet-c": a step in C, written against wit/ and nothing else of this repository.
//
// `run` puts a greeting into the context and into its output; `compensate` takes it out again. ../build-c.sh builds it.
//
// What the host gives is read in place. What goes to the host and stays there (outputs, errors) is freed by the bindings
// after the call, so it has to come from malloc: step_component_string_dup copies into such memory.
#include "step_component.h"

#include <stdlib.h>
#include <string.h>

static const char manifest[] = {
#embed "manifest.json"
    , 0};

static step_component_string_t borrowed(const char *text) {
    step_component_string_t string = {(uint8_t *)text, strlen(text)};
    return string;
}

static void log_line(const char *text) {
    step_component_string_t message = borrowed(text);
    step_component_list_tuple2_string_string_t no_fields = {NULL, 0};
    arcadia_step_log_write(ARCADIA_STEP_LOG_LEVEL_INFO, &message, &no_fields);
}

// Ends the call with a permanent error; the code says which of the host's refusals it was.
static bool fail(exports_arcadia_step_step_step_error_t *err, const char *code, const char *message) {
    memset(err, 0, sizeof *err);
    err->tag = ARCADIA_STEP_TYPES_STEP_ERROR_PERMANENT;
    step_component_string_dup(&err->val.permanent.code, code);
    step_component_string_dup(&err->val.permanent.message, message);
    return false;
}

static bool done(exports_arcadia_step_step_outcome_t *ret, const char *json) {
    memset(ret, 0, sizeof *ret);
    ret->tag = ARCADIA_STEP_TYPES_OUTCOME_DONE;
    step_component_string_dup(&ret->val.done, json);
    return true;
}

// Appends text inside a JSON string; control characters become spaces, which is good enough for a greeting.
static char *append_escaped(char *at, const uint8_t *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\') *at++ = '\\';
        *at++ = text[i] < 0x20 ? ' ' : (char)text[i];
    }
    return at;
}

void exports_arcadia_step_step_describe(exports_arcadia_step_step_json_t *ret) {
    step_component_string_dup(ret, manifest);
}

bool exports_arcadia_step_step_run(exports_arcadia_step_step_invocation_t *call,
                                   exports_arcadia_step_step_outcome_t *ret,
                                   exports_arcadia_step_step_step_error_t *err) {
    static const char begin[] = "{\"greeting\":", hello[] = "\"hello from C in step ", end[] = "\"";
    char *output = malloc(sizeof begin + sizeof hello + sizeof end + 2 * call->step.len + 2);
    if (output == NULL) return fail(err, "out-of-memory", "no memory for the greeting");
    char *greeting = output + strlen(begin);
    strcpy(output, begin);
    strcpy(greeting, hello);
    char *at = append_escaped(greeting + strlen(hello), call->step.ptr, call->step.len);
    strcpy(at, end);

    step_component_string_t key = borrowed("greeting");
    arcadia_step_context_json_t value = borrowed(greeting);
    arcadia_step_context_context_error_t refusal;
    bool is_set = arcadia_step_context_set(&key, &value, &refusal);
    if (is_set) {
        log_line("greeted");
        strcat(at, "}");
        done(ret, output);
    } else {
        arcadia_step_context_context_error_free(&refusal);
        fail(err, "context-refused", "the host didn't take the greeting");
    }
    free(output);
    exports_arcadia_step_step_invocation_free(call);
    return is_set;
}

bool exports_arcadia_step_step_compensate(exports_arcadia_step_step_invocation_t *call,
                                          exports_arcadia_step_step_prior_t *prior,
                                          exports_arcadia_step_step_outcome_t *ret,
                                          exports_arcadia_step_step_step_error_t *err) {
    exports_arcadia_step_step_invocation_free(call);
    exports_arcadia_step_step_prior_free(prior);
    step_component_string_t key = borrowed("greeting");
    arcadia_step_context_context_error_t refusal;
    if (!arcadia_step_context_remove(&key, &refusal)) {
        arcadia_step_context_context_error_free(&refusal);
        return fail(err, "context-refused", "the host didn't let the greeting go");
    }
    log_line("took the greeting back");
    return done(ret, "{}");
}
