/* The words of the schema that the includer did not define mean nothing. No include guard: this
 * file opens every expansion of the schema, words_close.h closes it. */
#ifndef API
#define API(...)
#endif
#ifndef HEADER
#define HEADER(...)
#endif
#ifndef STRUCT
#define STRUCT(...)
#endif
#ifndef FIELD
#define FIELD(...)
#endif
#ifndef TEXT
#define TEXT(...)
#endif
#ifndef LIST
#define LIST(...)
#endif
#ifndef ARRAY
#define ARRAY(...)
#endif
#ifndef NULLABLE
#define NULLABLE(...)
#endif
#ifndef TAGS
#define TAGS
#endif
#ifndef TAG_FIELD
#define TAG_FIELD(...)
#endif
#ifndef TAG_TEXT
#define TAG_TEXT(...)
#endif
#ifndef TAG_ARRAY
#define TAG_ARRAY(...)
#endif
#ifndef TAG_NEST
#define TAG_NEST(...)
#endif
#ifndef END
#define END(...)
#endif
#ifndef MESSAGE
#define MESSAGE(...)
#endif

#define LAST 0x7fff /* no upper bound */
#define NEVER 0x7fff /* null in no version */
#define MAY_DROP 1 /* Kafka's "ignorable" */
#define MUST_FIT 0 /* not ignorable */
#define EMPTY 0 /* default of texts, lists and arrays: no bytes, no elements */
#define NONE (-1) /* default of texts, lists and arrays: null */
