/*
 * twolayernet.h - train and run a two-layer neural network inside your own program.
 *
 * The network is Linear -> ReLU -> Linear, trained with cross-entropy and SGD with momentum: the
 * two-layer network of the book "Deep Learning from Scratch" as PyTorch runs it. From the same seed
 * the run is the same run as PyTorch's, to the last bit, and `mnist.pth` is the same file.
 *
 *     tln_dataset *train = NULL;
 *     tln_network *network = NULL;
 *     tln_trainer *trainer = NULL;
 *     tln_status status = tln_dataset_open_mnist("data", 1, &train);
 *     if (status == TLN_OK) status = tln_network_create(NULL, &network);
 *     if (status == TLN_OK) status = tln_trainer_create(network, NULL, &trainer);
 *     if (status == TLN_OK) status = tln_trainer_fit(trainer, train, 25, NULL, NULL);
 *     if (status == TLN_OK) status = tln_network_save(network, "mnist.pth");
 *     if (status != TLN_OK) fprintf(stderr, "%s\n", tln_last_error());
 *     tln_trainer_free(trainer);
 *     tln_network_free(network);
 *     tln_dataset_free(train);
 *
 * This header is the manual. What holds for every function:
 *
 * Results   A function returns a tln_status and hands its results out through pointers, which come
 *           last and are called out_... Only names, versions and ..._free return something else.
 *           On failure nothing has changed, every out_ handle has been set to NULL, and
 *           tln_last_error() says in one sentence what was wrong. Exceptions (training that was
 *           cancelled or failed half-way) are described where they occur.
 * Input     A NULL for a required pointer, a size that is zero, negative or too large, a number that
 *           is not finite: TLN_INVALID_ARGUMENT, never a crash. A pointer that is neither NULL nor
 *           valid, or a handle that was freed, cannot be detected in general.
 * Memory    Arrays you pass in are only read, and only during the call, unless the text says
 *           otherwise (tln_dataset_create may borrow). Arrays you pass for results are yours.
 *           Handles belong to you until the matching ..._free, which accepts NULL. Freeing in any
 *           order is fine: a trainer keeps its network alive. When the system has no memory left a
 *           call fails with TLN_OUT_OF_MEMORY, and nothing has changed; SECURITY.md tells how far
 *           that goes. The library may be unloaded when all handles are freed.
 * Numbers   Arrays are row-major and packed. Sizes count elements unless the name ends in _bytes.
 *           Arithmetic is float32, rounded as IEEE 754 says, with subnormal numbers kept.
 * Threads   Different handles may be used from different threads at the same time. One handle
 *           belongs to one thread at a time, with three exceptions: a dataset may be read by any
 *           number of threads at once; tln_network_logits, _probabilities, _predict, _evaluate and
 *           _get_parameter may run on one network from any number of threads at once while nobody
 *           trains or changes it; and tln_trainer_cancel and tln_trainer_get_position may be called
 *           from any thread at any time before the trainer is freed, also while it trains. No thread exists before work needs one; a network's
 *           threads end when the network and its trainers have been freed. Do not pthread_cancel a
 *           thread that is inside a call.
 * fork      A child process may use handles it inherited and create its own; threads are started
 *           anew in the child. Do not fork in one thread while another is inside a call on the
 *           handle that the child is going to use. Networks on a GPU cannot follow: in the child, calls
 *           on them are TLN_DEVICE_FAILED, and freeing them leaves the device alone.
 * Signals   The library installs no handlers. Its threads block all signals, so that yours run on
 *           your threads. Calls that a signal interrupts go on. Of the functions here only
 *           tln_trainer_cancel may be called in a handler.
 * Output    Nothing is printed, and nothing aborts or exits.
 * State     There is no global state besides the error text of each thread, and a reserve of memory
 *           for when the system has none.
 * Bits      Same seed, same data, same options: the same bits, at every number of threads, on every
 *           processor, in every run. Reading environment variables: only the one below.
 * Paths     Paths are UTF-8 and end in a NUL byte. Files are written beside their target and
 *           renamed, so that a failed or interrupted save leaves the old file as it was.
 *
 * GPUs      The driver is looked for when a device is described or asked for, never when the library is
 *           loaded; auto looks only for those that it would take. NVIDIA's stays in the process from then
 *           on, and may keep compiled kernels in a cache of its own (CUDA_CACHE_PATH). A host may use CUDA
 *           too: the current context of its threads is as before after every call. A program that is
 *           linked statically as a whole cannot load a driver, and has no GPUs.
 * Environment  TLN_INSTRUCTION_SET = "baseline", "avx2" or "avx512" lowers the instruction set that
 *           the CPU engine would choose (the best that the processor has). It exists for tests and
 *           measurements: results do not depend on it. Read when a network is created or loaded;
 *           a level that the processor lacks, or an unknown word, is TLN_UNSUPPORTED.
 *
 * Versions  Libraries with the same SONAME work with programs of older headers: functions, constants
 *           and fields keep their meaning and place, and structs grow at their end only. Before 1.0 a
 *           minor version may break this, and says so in its changelog.
 * Files     What a version has written, later ones read.
 *
 * SECURITY.md lists these promises with the tests that back each, and says what a hostile file may do.
 *
 * Options   Structs of options begin with `size_t struct_size`, the caller's sizeof. Fill them with
 *           the matching ..._options_init and change what you need. A program compiled against an
 *           older header (smaller struct) works; a larger struct whose unknown bytes are not all
 *           zero is TLN_UNSUPPORTED. Wherever a function takes options, NULL means the defaults.
 */
#ifndef TWOLAYERNET_H
#define TWOLAYERNET_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define TLN_API
#else
#define TLN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- version */

#define TLN_VERSION_MAJOR 0
#define TLN_VERSION_MINOR 1
#define TLN_VERSION_PATCH 0

#define TLN_VERSION_STRING "0.1.0"

/* The version of this header, in the form that tln_version() returns. */
#define TLN_VERSION ((TLN_VERSION_MAJOR << 16) | (TLN_VERSION_MINOR << 8) | TLN_VERSION_PATCH)

/* The version of the library that is loaded: major << 16 | minor << 8 | patch. Libraries of the same
 * major version understand each other's headers; the major version is also the SONAME's. */
TLN_API uint32_t tln_version(void);

/* The same as text, such as "0.1.0". Static memory; never NULL. */
TLN_API const char *tln_version_string(void);

/* ----------------------------------------------------------------- status */

typedef int32_t tln_status;

enum {
  TLN_OK = 0,
  TLN_INVALID_ARGUMENT = 1, /* the call is wrong: NULL, a size, a range, a shape that does not fit */
  TLN_IO_ERROR = 2,         /* the operating system refused: missing file, permission, full disk */
  TLN_BAD_FILE = 3,         /* the file is not what it should be: damaged, truncated, hostile */
  TLN_UNSUPPORTED = 4,      /* a valid request for something this version does not do */
  TLN_NO_DEVICE = 5,        /* the requested device is not available; the message says why */
  TLN_DEVICE_FAILED = 6,    /* the device was there and failed, or its memory is too small; the message has
                               its driver's own name of the error, such as CUDA_ERROR_LAUNCH_FAILED or
                               CUDA_ERROR_OUT_OF_MEMORY */
  TLN_OUT_OF_MEMORY = 7,    /* memory or another resource of the system, such as threads, ran out; never
                               a device's own memory */
  TLN_CANCELLED = 8,        /* a callback or tln_trainer_cancel stopped the training */
  TLN_INTERNAL = 9          /* a defect of this library; please report it with the message */
};

/* "TLN_OK", "TLN_INVALID_ARGUMENT", ...; "unknown status" for a number that is none. Static memory;
 * never NULL. Status numbers are never reused. */
TLN_API const char *tln_status_name(tln_status status);

/* One sentence, in English and UTF-8, about the last call of this thread that returned a status:
 * what was wrong with it, or "" if it succeeded. Never NULL. It stays valid until this thread's next
 * call that returns a status; the ..._free functions leave it alone. A thousand threads at a time can
 * have one; for more it only says that there was no room. */
TLN_API const char *tln_last_error(void);

/* ---------------------------------------------------------------- devices */

/* A GPU gives the same bits as the processor. The CUDA engine needs a driver for CUDA 11.4 or newer and a
 * card of compute capability 5.0 or more. The Metal engine is only in the Swift module on Apple's systems,
 * and has not been run on Apple hardware: TLN_DEVICE_AUTO passes it over in this version. */
typedef int32_t tln_device;

enum {
  TLN_DEVICE_AUTO = 0, /* cuda if available, else mps, else cpu; see above */
  TLN_DEVICE_CPU = 1,
  TLN_DEVICE_CUDA = 2, /* NVIDIA, through the installed driver */
  TLN_DEVICE_MPS = 3   /* Apple GPUs, through Metal */
};

/* "auto", "cpu", "cuda" or "mps"; "unknown device" for a number that is none. Static; never NULL. */
TLN_API const char *tln_device_name(tln_device device);

/* The device that a request leads to. TLN_DEVICE_AUTO gives the first that is available of cuda, mps
 * and cpu, as far as it does not pass them over, and never fails. Creating a network with it goes on to
 * the next if one fails. Any other device gives itself, or TLN_NO_DEVICE with the reason if it is
 * not available: an explicit request never falls back to another device. */
TLN_API tln_status tln_device_resolve(tln_device requested, tln_device *out_device);

typedef struct tln_device_info {
  size_t struct_size;        /* in: sizeof(tln_device_info), set by the caller */
  tln_device device;         /* the device that is described; for TLN_DEVICE_AUTO, what it resolves to */
  int32_t available;         /* 1 or 0 */
  int32_t count;             /* devices of this kind that could be used; 1 for the cpu */
  int32_t threads;           /* cpu: the number of threads that `threads = 0` allows; others 0 */
  char name[128];            /* the model, such as "AMD EPYC 9354"; "" if not available */
  char instruction_set[16];  /* cpu: "baseline", "avx2", "avx512" or "neon"; others "" */
  char reason[256];          /* why it is not available, or why TLN_DEVICE_AUTO passes it over; else "" */
} tln_device_info;

/* Describes a device, available or not; TLN_OK in both cases. Set out_info->struct_size first; bytes
 * beyond it are not touched. Text that is too long is cut at a character. */
TLN_API tln_status tln_device_describe(tln_device device, tln_device_info *out_info);

/* ---------------------------------------------------------------- networks */

/* logits = W2 * max(W1 * x + b1, 0) + b2, with PyTorch's names and shapes for the parameters:
 *   layers.0.weight [hidden_size, input_size]     layers.0.bias [hidden_size]
 *   layers.2.weight [output_size, hidden_size]    layers.2.bias [output_size]
 */
typedef struct tln_network tln_network;

typedef struct tln_network_options {
  size_t struct_size;
  int64_t input_size;   /* default 784; 1 to 2^24 */
  int64_t hidden_size;  /* default 100; 1 to 2^24 */
  int64_t output_size;  /* default 10; 1 to 2^24 */
  uint64_t seed;        /* default 0; as torch.manual_seed(seed). Negative seeds: their two's complement */
  tln_device device;    /* default TLN_DEVICE_AUTO */
  int32_t threads;      /* default 0: as many as the process may use and the work is worth; at most
                           1024. A limit for the cpu device; never changes a result */
  int32_t device_index; /* default 0: which of several GPUs, counted from 0; 0 for the cpu */
  int32_t reserved;     /* 0 */
} tln_network_options;

/* Fills in the defaults named above and struct_size. NULL is ignored. */
TLN_API void tln_network_options_init(tln_network_options *options);

/* A new network, initialised as PyTorch's nn.Linear does it, layer by layer, from
 * torch.manual_seed(seed). A trainer goes on drawing where initialisation stopped, so that one seed
 * behaves as one torch.manual_seed at the top of a script. */
TLN_API tln_status tln_network_create(const tln_network_options *options, tln_network **out_network);

/* A network from a file: PyTorch's .pth of any version (a state_dict, or a checkpoint that contains
 * one under state_dict, model or model_state_dict; keys with a prefix such as "module."; float16,
 * bfloat16, float32 or float64), or .safetensors; told by content, not by name. Sizes come from the
 * file; of the options only device, threads and device_index are used, and NULL is fine. No code in
 * the file is ever run. A file that holds anything but two Linear layers that fit is TLN_BAD_FILE. */
TLN_API tln_status tln_network_load(const char *path, const tln_network_options *options,
                                    tln_network **out_network);

/* The same from bytes in memory. NULL is allowed if byte_count is 0 (which is TLN_BAD_FILE). */
TLN_API tln_status tln_network_load_memory(const void *bytes, size_t byte_count,
                                           const tln_network_options *options,
                                           tln_network **out_network);

/* Writes the parameters. The ending of the path selects the format: ".pth" or ".pt" is, byte for
 * byte, what torch.save(model.state_dict(), path) of PyTorch 2.1.2 writes; ".safetensors" is that
 * format. Any other ending is TLN_UNSUPPORTED. */
TLN_API tln_status tln_network_save(const tln_network *network, const char *path);

TLN_API void tln_network_free(tln_network *network);

/* The sizes of the layers. Each pointer may be NULL. */
TLN_API tln_status tln_network_sizes(const tln_network *network, int64_t *out_input_size,
                                     int64_t *out_hidden_size, int64_t *out_output_size);

/* The device the network lives on; never TLN_DEVICE_AUTO. */
TLN_API tln_status tln_network_get_device(const tln_network *network, tln_device *out_device);

/* Copies one parameter out or in, row-major in the shapes above. `count` must be exactly its number
 * of elements. Values that are not finite are TLN_INVALID_ARGUMENT when set. */
TLN_API tln_status tln_network_get_parameter(const tln_network *network, const char *name,
                                             float *out_values, size_t count);
TLN_API tln_status tln_network_set_parameter(tln_network *network, const char *name,
                                             const float *values, size_t count);

/* --------------------------------------------------------------- datasets */

/* Rows of features, with or without labels, in memory. A dataset never changes after its creation. */
typedef struct tln_dataset tln_dataset;

enum {
  TLN_FEATURES_U8 = 0, /* uint8_t; used as value / 255 in float32, as torchvision's ToTensor does */
  TLN_FEATURES_F32 = 1 /* float; every value must be finite */
};

enum {
  TLN_LABELS_U8 = 0,  /* uint8_t */
  TLN_LABELS_I32 = 1, /* int32_t */
  TLN_LABELS_I64 = 2  /* int64_t */
};

typedef struct tln_dataset_options {
  size_t struct_size;
  const void *features;     /* rows x columns, of feature_type */
  int32_t feature_type;     /* default TLN_FEATURES_U8 */
  int64_t rows;             /* at least 1 */
  int64_t columns;          /* 1 to 2^24 */
  int64_t row_stride_bytes; /* from one row to the next; default 0: packed. Not less than a row, and
                               a multiple of the element's size */
  const void *labels;       /* one class for each row, from 0, of label_type; NULL: no labels */
  int32_t label_type;       /* default TLN_LABELS_I64 */
  int32_t copy;             /* default 0: features (not labels) are borrowed, and must stay unchanged
                               until tln_dataset_free; 1: they are copied, and may go at once */
} tln_dataset_options;

/* Fills in the defaults named above and struct_size, everything else 0. NULL is ignored. */
TLN_API void tln_dataset_options_init(tln_dataset_options *options);

/* A dataset from arrays. Refused: negative labels, labels above 2^24, features that are NaN or
 * infinite (TLN_INVALID_ARGUMENT, with the row and the column), misaligned float features. */
TLN_API tln_status tln_dataset_create(const tln_dataset_options *options, tln_dataset **out_dataset);

/* A dataset from two IDX files, the format of MNIST, raw or compressed with gzip, which is told by
 * content: images of unsigned bytes with two or three dimensions or more (the first counts images,
 * the others are flattened to a row), labels of unsigned bytes with one. labels_path may be NULL. */
TLN_API tln_status tln_dataset_open_idx(const char *images_path, const char *labels_path,
                                        tln_dataset **out_dataset);

/* MNIST, or any dataset with the same four file names (train-images-idx3-ubyte, ..., with or without
 * ".gz"): in the directory itself, or in its MNIST/raw, where torchvision keeps them. train is 1 for
 * the training set and 0 for the test set. */
TLN_API tln_status tln_dataset_open_mnist(const char *directory, int32_t train,
                                          tln_dataset **out_dataset);

/* The number of rows, and of columns (features in a row). Each pointer may be NULL. */
TLN_API tln_status tln_dataset_shape(const tln_dataset *dataset, int64_t *out_rows,
                                     int64_t *out_columns);

/* Copies rows first_row ... first_row + rows - 1 out: features [rows, columns] as the float32 that
 * training sees, labels [rows]. Each pointer may be NULL; labels of a dataset that has none are
 * TLN_INVALID_ARGUMENT. */
TLN_API tln_status tln_dataset_read(const tln_dataset *dataset, int64_t first_row, int64_t rows,
                                    float *out_features, int64_t *out_labels);

TLN_API void tln_dataset_free(tln_dataset *dataset);

/* --------------------------------------------------------------- training */

/* SGD as torch.optim.SGD defines it, for one network, with momentum buffers of its own:
 *   g = gradient (negated if maximize) + weight_decay * p
 *   v = g the first time, then momentum * v + (1 - dampening) * g
 *   p = p - learning_rate * (nesterov ? g + momentum * v : v)        (momentum 0: p - learning_rate * g)
 * where the loss is the mean cross-entropy of a batch. */
typedef struct tln_trainer tln_trainer;

typedef struct tln_trainer_options {
  size_t struct_size;
  double learning_rate; /* default 0.1; finite, not negative */
  double momentum;      /* default 0.9; finite, not negative */
  double dampening;     /* default 0; finite */
  double weight_decay;  /* default 0; finite, not negative */
  int32_t nesterov;     /* default 0; 1 needs momentum > 0 and dampening 0 */
  int64_t batch_size;   /* default 100; at least 1 */
  int32_t shuffle;      /* default 1: a new order each epoch, PyTorch's; 0: rows in their order */
  int32_t drop_last;    /* default 0: the last batch of an epoch may be smaller; 1: it is left out */
  int32_t maximize;     /* default 0; 1 climbs the loss instead of descending */
  int32_t reserved;     /* 0 */
  uint64_t seed;        /* default 0; seeds the generator if the network came from a file. A network
                           that was created goes on with its own generator instead */
} tln_trainer_options;

/* Fills in the defaults named above and struct_size. NULL is ignored. */
TLN_API void tln_trainer_options_init(tln_trainer_options *options);

/* A trainer for a network, which it keeps alive. Several trainers may take turns on one network. */
TLN_API tln_status tln_trainer_create(tln_network *network, const tln_trainer_options *options,
                                      tln_trainer **out_trainer);

typedef struct tln_progress {
  size_t struct_size; /* sizeof(tln_progress) in the library */
  int64_t epoch;      /* from 1: the trainer's epochs, counted over all its calls of fit */
  int64_t epochs;     /* the number of the last epoch of this call */
  int64_t step;       /* from 0, within the epoch */
  int64_t steps;      /* in an epoch */
  float loss;         /* mean over this batch, before the step */
  double mean_loss;   /* mean of `loss` over the batches of this epoch so far (after a resumption in
                         the middle of an epoch: over those since) */
  int64_t rows_done;  /* in this epoch, this batch included */
} tln_progress;

/* Called after every step, on the thread that called tln_trainer_fit. A value other than 0 ends the
 * training with TLN_CANCELLED; the network keeps the step that has just finished. It has to return: no
 * longjmp and no C++ exception may leave it. It may call any function on other handles,
 * tln_trainer_save and tln_trainer_set_learning_rate on this trainer, and those that only read its
 * network; nothing else on these two.
 *
 * A GPU takes steps in advance, up to about 50 ms, so that it need not wait for each of these calls: they
 * come in groups, later than the steps. That is all that can be noticed. Position, file and network are
 * those of the step that is told; if the callback ends the training, looks at the network or changes the
 * rate, the steps after it are undone. A callback that does so at every step gets one step at a time. */
typedef int32_t (*tln_progress_callback)(const tln_progress *progress, void *user_data);

/* Trains until `epochs` more epochs (at least 0) have ended. An epoch that was left half-way (by
 * cancelling, or in the file that was loaded) is finished first, with the order it had, and counts as
 * one of them. callback and user_data may be NULL. The dataset must have labels, as many columns as
 * the network has inputs, and no label that reaches output_size (TLN_INVALID_ARGUMENT); finishing an
 * epoch needs a dataset with the same number of rows. If a batch's loss is not finite, training stops
 * with TLN_INVALID_ARGUMENT and a message that names epoch and step, and the network keeps the
 * parameters it had before that step. After TLN_CANCELLED or an error the network is usable and holds
 * the last finished step; only after TLN_DEVICE_FAILED it may hold a later one or a part of it, and can be
 * read as far as the device's driver allows. */
TLN_API tln_status tln_trainer_fit(tln_trainer *trainer, const tln_dataset *dataset, int64_t epochs,
                                   tln_progress_callback callback, void *user_data);

/* One step on one batch of your own: features [rows, input_size] (finite, aligned), labels [rows],
 * each below output_size. out_loss (may be NULL) is the batch's mean loss before the step. Does not
 * count towards epochs. After a few calls of the same or a smaller size it allocates nothing. */
TLN_API tln_status tln_trainer_step(tln_trainer *trainer, const float *features,
                                    const int64_t *labels, int64_t rows, float *out_loss);

/* Takes effect with the next step. Finite, not negative. */
TLN_API tln_status tln_trainer_set_learning_rate(tln_trainer *trainer, double learning_rate);

/* How far the trainer has come: finished epochs, and finished steps of the epoch after those (0
 * unless it was left half-way). From any thread, also while tln_trainer_fit runs in another; the two
 * numbers belong together. Each pointer may be NULL. */
TLN_API tln_status tln_trainer_get_position(const tln_trainer *trainer, int64_t *out_epochs,
                                            int64_t *out_steps);

/* Ends a running tln_trainer_fit with TLN_CANCELLED after its current step, from any thread. (Without a
 * callback a device is given some steps at a time, about a tenth of a second's on a large GPU, and ends
 * after those.) If none is running, the next one ends before its first step. Safe in a signal handler.
 * NULL is ignored. */
TLN_API void tln_trainer_cancel(tln_trainer *trainer);

/* Writes everything that training needs to go on as if it had never stopped, to the bit: parameters,
 * momentum, options of the optimiser, epoch, generator and position in the epoch. The file (".pth" or
 * ".pt") is what torch.save({'model': model.state_dict(), 'optimizer': optimizer.state_dict(),
 * 'epoch': epochs}, path) writes, so that PyTorch can go on from it too; the generator and the
 * position, which PyTorch does not keep there, travel in the zip archive's comment. */
TLN_API tln_status tln_trainer_save(const tln_trainer *trainer, const char *path);

/* Goes on from such a file, PyTorch's or this library's: replaces the network's parameters, the
 * momentum buffers, the optimiser's options and the position. The sizes must be the network's. A file
 * of PyTorch's says nothing about generator and position: those stay. */
TLN_API tln_status tln_trainer_load(tln_trainer *trainer, const char *path);

TLN_API void tln_trainer_free(tln_trainer *trainer);

/* -------------------------------------------------------- running a network */

/* features [rows, input_size], finite and aligned; rows at least 1. After the first call of a size
 * these allocate nothing, as long as no other thread uses the network at the same time. */

/* logits [rows, output_size] */
TLN_API tln_status tln_network_logits(const tln_network *network, const float *features, int64_t rows,
                                      float *out_logits);

/* softmax of the logits [rows, output_size] */
TLN_API tln_status tln_network_probabilities(const tln_network *network, const float *features,
                                             int64_t rows, float *out_probabilities);

/* labels [rows]: the index of each row's largest logit, the lowest index if there are several */
TLN_API tln_status tln_network_predict(const tln_network *network, const float *features, int64_t rows,
                                       int64_t *out_labels);

typedef struct tln_evaluation {
  size_t struct_size; /* in: sizeof(tln_evaluation), set by the caller */
  int64_t rows;
  int64_t correct;    /* rows whose predicted label is their label */
  double accuracy;    /* correct / rows, 0 to 1 */
  double mean_loss;   /* mean cross-entropy over the rows, summed in double */
} tln_evaluation;

/* Runs the network over a dataset with labels, which must fit as for tln_trainer_fit. Set
 * out_evaluation->struct_size first; bytes beyond it are not touched. */
TLN_API tln_status tln_network_evaluate(const tln_network *network, const tln_dataset *dataset,
                                        tln_evaluation *out_evaluation);

#ifdef __cplusplus
}
#endif

#endif
