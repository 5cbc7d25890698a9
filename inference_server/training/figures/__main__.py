"""The command line: see the package."""

from inference_server.training.figures.dataset import main

if __name__ == "__main__":
    main()
