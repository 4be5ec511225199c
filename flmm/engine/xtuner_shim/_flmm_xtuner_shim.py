"""Give transformers 5 the one name that xtuner 0.2.0 still imports from it.

`xtuner train` starts its own script in a new Python process, before any code of flmm runs, so
the name has to be there from the start of the interpreter: installing flmm puts this module and
a `.pth` file that imports it beside each other into site-packages.

It costs one small class at start-up, does nothing until `transformers.utils` is imported, and
nothing at all where transformers still has the name.
"""

import sys

_MODULE = 'transformers.utils'
_NAME = 'is_safetensors_available'


def _is_safetensors_available():
    """Say whether safetensors can be imported; transformers 5 always depends on it."""
    from importlib.util import find_spec

    return find_spec('safetensors') is not None


def _complete(module):
    """Add the missing name to `transformers.utils`, for transformers 5 and later only."""
    version = getattr(sys.modules.get('transformers'), '__version__', '0')
    major = version.split('.')[0]
    if major.isdigit() and int(major) >= 5 and not hasattr(module, _NAME):
        setattr(module, _NAME, _is_safetensors_available)


class _Finder:
    """Import hook that waits for one module and then removes itself."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != _MODULE:
            return None
        remove()
        spec = None
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                break
        loader = getattr(spec, 'loader', None)
        execute = getattr(loader, 'exec_module', None)
        if execute is None:
            return spec

        def exec_module(module):
            # Shadow the method on this one loader object only while the module is imported, so
            # that nothing of the hook stays on the module.
            del loader.exec_module
            execute(module)
            _complete(module)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            # A loader that takes no attributes (a frozen or compiled one): leave it alone.
            pass
        return spec


def install():
    """Put the hook in place, or act at once where `transformers.utils` is already imported."""
    if _MODULE in sys.modules:
        _complete(sys.modules[_MODULE])
    elif _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def remove():
    """Take the hook away."""
    if _Finder in sys.meta_path:
        sys.meta_path.remove(_Finder)
