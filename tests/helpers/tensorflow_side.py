"""What real TensorFlow does with a checkpoint; run as a program by an interpreter that has it.

`read CHECKPOINT OUT.npz` reads every variable; `write IN.npz CHECKPOINT` saves them with TensorFlow 1's Saver, with
slots of an optimiser and a step counter as training leaves them. In the .npz a name has "|" for "/".
"""

import os
import sys

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def read(checkpoint: str, out: str) -> None:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(checkpoint)
    names = reader.get_variable_to_shape_map()
    np.savez(out, **{name.replace("/", "|"): reader.get_tensor(name) for name in names})


def write(source: str, checkpoint: str) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_eager_execution()
    values = {name.replace("|", "/"): value for name, value in np.load(source).items()}
    for name, value in values.items():
        v1.get_variable(name, initializer=v1.constant(value))
    for slot in ("adam_m", "adam_v"):
        v1.get_variable(f"bert/pooler/dense/kernel/{slot}", initializer=v1.zeros((3, 3)))
    v1.train.get_or_create_global_step()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, checkpoint)


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
