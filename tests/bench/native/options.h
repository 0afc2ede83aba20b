/* What a run of the client is told on its command line: `--name value`. Times in seconds from the client's start. */
#ifndef OPTIONS_H
#define OPTIONS_H

struct options {
    const char *mode; /* gateway: inputs, then a start; direct: the source itself; watch: GET path */
    const char *path; /* of watch */
    double port;
    double tokens_per_second;
    double starts; /* how many in all */
    double rate;   /* a second */
    double at_once; /* no further start while so many connections are open */
    double marked; /* markers of every plan; 0: not known */
    double viewers;
    double measure_from, measure_to;
    double status_rate, live_rate; /* questions a second for a plan's status, and for /livez */
    double cancel_at, cancels;
    double reconnect_at, reconnects;
    double seconds; /* the run is over then, whatever is still open */
};

/* Ends the program when an option is unknown or is no number. */
struct options options_read(int count, char **arguments);

#endif
