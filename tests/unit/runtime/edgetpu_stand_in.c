/* Stands for libedgetpu: a delegate that takes edgetpu-custom-op and copies its input to its output.

The structures are those of TensorFlow Lite's c/common.h as far as they are needed; the registration is passed by value,
so it ends with room for the fields of later versions. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
typedef struct { int size; int data[]; } TfLiteIntArray;
typedef struct TfLiteContext TfLiteContext;
typedef struct TfLiteNode { TfLiteIntArray *inputs, *outputs; } TfLiteNode;
typedef struct { int type; void *data; TfLiteIntArray *dims; float scale; int32_t zero_point; int allocation_type; size_t bytes; char rest[64]; } TfLiteTensor;
typedef struct TfLiteRegistration {
  void *(*init)(TfLiteContext *, const char *, size_t); void (*free)(TfLiteContext *, void *);
  int (*prepare)(TfLiteContext *, TfLiteNode *); int (*invoke)(TfLiteContext *, TfLiteNode *);
  const char *(*profiling_string)(const TfLiteContext *, const TfLiteNode *);
  int32_t builtin_code; const char *custom_name; int version; void *later[6];
} TfLiteRegistration;
typedef struct TfLiteDelegate { void *data; int (*Prepare)(TfLiteContext *, struct TfLiteDelegate *);
  void *buffer_functions[3]; int64_t flags; void *opaque_delegate_builder; } TfLiteDelegate;
struct TfLiteContext {
  size_t tensors_size; int (*GetExecutionPlan)(TfLiteContext *, TfLiteIntArray **); TfLiteTensor *tensors; void *impl;
  int (*ResizeTensor)(TfLiteContext *, TfLiteTensor *, TfLiteIntArray *);
  void (*ReportError)(TfLiteContext *, const char *, ...); int (*AddTensors)(TfLiteContext *, int, int *);
  int (*GetNodeAndRegistration)(TfLiteContext *, int, TfLiteNode **, TfLiteRegistration **);
  int (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext *, TfLiteRegistration, const TfLiteIntArray *, TfLiteDelegate *);
};
static int ready(TfLiteContext *c, TfLiteNode *n) { return 0; }
static int copy(TfLiteContext *c, TfLiteNode *n) {
  TfLiteTensor *from = &c->tensors[n->inputs->data[0]], *to = &c->tensors[n->outputs->data[0]];
  memcpy(to->data, from->data, to->bytes);
  return 0;
}
static int take(TfLiteContext *c, TfLiteDelegate *d) {
  TfLiteIntArray *plan; TfLiteNode *node; TfLiteRegistration *known;
  if (c->GetExecutionPlan(c, &plan)) return 1;
  TfLiteIntArray *mine = calloc(1, sizeof(int) * (plan->size + 1));
  for (int i = 0; i < plan->size; i++) {
    if (c->GetNodeAndRegistration(c, plan->data[i], &node, &known)) return 1;
    if (known->custom_name && !strcmp(known->custom_name, "edgetpu-custom-op")) mine->data[mine->size++] = plan->data[i];
  }
  TfLiteRegistration kernel = {.prepare = ready, .invoke = copy, .custom_name = "stand-in", .version = 1};
  int status = mine->size ? c->ReplaceNodeSubsetsWithDelegateKernels(c, kernel, mine, d) : 0;
  free(mine);
  return status;
}
TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  const char *fail = getenv("STAND_IN_FAILS");
  for (size_t i = 0; i < count; i++)
    if (!strcmp(keys[i], "device") && !strcmp(values[i], "usb:7")) fail = "no such device";
  if (fail) { report(fail); return NULL; }
  TfLiteDelegate *delegate = calloc(1, sizeof *delegate);
  delegate->Prepare = take;
  delegate->flags = 1; /* allow dynamic tensors: the operators are replaced before they are looked at */
  return delegate;
}
void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate) { free(delegate); }
