// The step "wasi-probe": uses what the toolchains of larger languages bring along (WASI 0.2: cli, io, clocks, filesystem,
// random) and says what it got. A host that gives nothing shows no file, no environment and no arguments; a line on stdout
// goes to the step's log. ../build-c.sh builds it.
#include "step_component.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char manifest[] = {
#embed "manifest.json"
    , 0};

static bool done(exports_arcadia_step_step_outcome_t *ret, const char *json) {
    memset(ret, 0, sizeof *ret);
    ret->tag = ARCADIA_STEP_TYPES_OUTCOME_DONE;
    step_component_string_dup(&ret->val.done, json);
    return true;
}

void exports_arcadia_step_step_describe(exports_arcadia_step_step_json_t *ret) {
    step_component_string_dup(ret, manifest);
}

bool exports_arcadia_step_step_run(exports_arcadia_step_step_invocation_t *call,
                                   exports_arcadia_step_step_outcome_t *ret,
                                   exports_arcadia_step_step_step_error_t *err) {
    (void)err;
    exports_arcadia_step_step_invocation_free(call);

    int written = printf("a line on stdout\n");
    fflush(stdout);
    fprintf(stderr, "a line on stderr\n");

    struct timespec wall = {0}, first = {0}, second = {0};
    bool has_wall = clock_gettime(CLOCK_REALTIME, &wall) == 0;
    bool has_monotonic = clock_gettime(CLOCK_MONOTONIC, &first) == 0 && clock_gettime(CLOCK_MONOTONIC, &second) == 0;

    unsigned char random[16] = {0};
    bool has_random = getentropy(random, sizeof random) == 0;
    int nonzero = 0;
    for (size_t i = 0; i < sizeof random; i++) nonzero += random[i] != 0;

    errno = 0;
    FILE *file = fopen("/etc/hostname", "r");
    int file_error = file == NULL ? errno : 0;
    if (file != NULL) fclose(file);
    int byte = getchar();

    char output[512];
    snprintf(output, sizeof output,
             "{\"stdout_bytes\":%d,\"stdin\":%s,\"wall_clock\":%s,\"monotonic_clock\":%s,\"random\":%s,"
             "\"random_nonzero_bytes\":%d,\"file\":%s,\"file_errno\":%d,\"environment\":%s}",
             written, byte == EOF ? "\"empty\"" : "\"readable\"", has_wall ? "true" : "false",
             has_monotonic ? "true" : "false", has_random ? "true" : "false", nonzero,
             file == NULL ? "\"denied\"" : "\"opened\"", file_error, getenv("PATH") == NULL ? "\"empty\"" : "\"given\"");
    return done(ret, output);
}

bool exports_arcadia_step_step_compensate(exports_arcadia_step_step_invocation_t *call,
                                          exports_arcadia_step_step_prior_t *prior,
                                          exports_arcadia_step_step_outcome_t *ret,
                                          exports_arcadia_step_step_step_error_t *err) {
    (void)err;
    exports_arcadia_step_step_invocation_free(call);
    exports_arcadia_step_step_prior_free(prior);
    return done(ret, "{}");
}
