# The article's training script. Nothing here knows that it is being compared.
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import ToTensor

EPOCHS = 25


def get_available_device():
    if torch.cuda.is_available():
        return "cuda"
    elif torch.backends.mps.is_available():
        return "mps"
    else:
        return "cpu"


class TwoLayerNet(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(
            nn.Linear(input_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, output_size),
        )

    def forward(self, x):
        return self.layers(self.flatten(x))


device = get_available_device()
model = TwoLayerNet(784, 100, 10).to(device)
training_data = datasets.MNIST(root="data", train=True, download=True, transform=ToTensor())
training_loader = DataLoader(training_data, batch_size=100, shuffle=True)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

for epoch in range(EPOCHS):
    running_loss = 0.0
    for i, (inputs, labels) in enumerate(training_loader):
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        if i % 600 == 0:
            print(f"epoch={epoch + 1}, loss={running_loss:.5f}")
            running_loss = 0.0

print("Finished")
torch.save(model.state_dict(), "mnist.pth")
